//! Which lent cookies go along with a permitted request, and the `Cookie`
//! header that results.
