//! The bundle of policies, read again whenever its file changes.

use std::{sync::Arc, time::Duration};

use super::Service;
use crate::{policy_file::Watch, trace::record::Actor};

/// How often its file is looked at.
const EVERY: Duration = Duration::from_millis(300);

impl Service {
    /// Looks at the bundle's file, over and over, until [`Service::shutdown`]. A new
    /// bundle decides in running sessions at once; one that is not valid is
    /// refused, and the old one stays.
    pub async fn watch_policies(self: Arc<Self>) {
        let mut watch = Watch::new(&self.config.policy);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let Some(read) = watch.changed() else {
                continue;
            };
            let policies = self.sessions.policies();
            let (what, id, detail) = match read {
                Ok(bundle) if bundle.revision() == policies.bundle().revision() => continue,
                Ok(bundle) => {
                    let id = bundle.revision().to_string();
                    let names: Vec<&str> = bundle.ids().collect();
                    let detail = names.join(", ");
                    policies.replace(bundle);
                    tracing::info!(revision = id, "new policies decide");
                    ("policies-loaded", id, detail)
                }
                Err(error) => {
                    let old = policies.bundle().revision().to_string();
                    tracing::error!(%error, "new policies are refused; the old ones stay");
                    ("policies-refused", old, error.to_string())
                }
            };
            if let Err(error) = self.registry(Actor::Broker, what, &id, &detail).await {
                tracing::error!(%error, "a change of policies could not be put on record");
            }
        }
    }
}
