use std::sync::Arc;
use crate::{broker::lease::{Lease,LentCookie}, model::{action::RequestAction, secret::Secret, time::Now}};
pub struct Injection { pub header: Secret, pub cookies: Vec<Arc<LentCookie>> }
pub fn inject(_l: &[Arc<Lease>], _a: &RequestAction, _own: Option<&str>, _now: Now) -> Option<Injection> { None }
