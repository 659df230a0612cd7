//! What `hallpass demo` shows its job with: a made-up service desk that one
//! signs in to, and a second system that nobody may reach.

pub mod desk;
pub mod elsewhere;
pub mod story;
