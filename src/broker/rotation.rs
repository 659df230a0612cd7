use std::sync::Arc;
use url::Url;
use crate::{broker::lease::{Leases,LentCookie}, model::{cookie::CookieAttributes, secret::Secret, time::Now}};
pub struct Rotation { pub cookie: Arc<LentCookie>, pub change: Change }
pub enum Change { Rotated { value: Secret, attributes: CookieAttributes }, Cleared }
pub struct Found { pub changes: Vec<Rotation>, pub shadows: Vec<CookieAttributes> }
pub fn rotations(_s: &str, _u: &Url, _l: &Leases, _now: Now) -> Found { Found{changes:vec![],shadows:vec![]} }
