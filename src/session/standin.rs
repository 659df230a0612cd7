//! All of a session but its browser: obeys the broker's orders and keeps the
//! record, so that the use cases can be tested under a clock that is set.

use std::{fs, io, path::Path, sync::Arc};

use tokio::sync::mpsc;

use super::{
    Download, DownloadState, Downloads, SessionEvent,
    files::Folders,
    order::{Handle, Order},
};
use crate::{
    cdp::scan::Scanner,
    clock::Clock,
    egress::Egress,
    trace::record::{Actor, Draft, Event},
};

/// The one download of each.
pub(crate) const DOWNLOAD: &str = "5c7a1f0e-0000-4000-8000-000000000001";

pub(super) async fn start(egress: &Egress) -> io::Result<Handle> {
    let (orders, mut incoming) = mpsc::unbounded_channel::<Box<Order>>();
    let (clients, _) = mpsc::channel(1);
    let listener = Arc::new(egress.listen().await?);
    let folder = tempfile::tempdir()?;
    let profile: Arc<Path> = folder.path().canonicalize()?.into();
    fs::create_dir(profile.join("downloads"))?;
    fs::write(profile.join("downloads").join(DOWNLOAD), "")?;
    tokio::spawn(async move {
        let _folder = folder;
        let mut bound = None;
        while let Some(order) = incoming.recv().await {
            match *order {
                Order::Bind(bind, answer) => {
                    bound = Some(bind);
                    answer.send(()).ok();
                }
                Order::LeaseAdded
                | Order::Explained(_)
                | Order::UsedUp(_)
                | Order::Durable { .. } => {}
                Order::AnswerHold { done, .. } => {
                    done.send(Ok(())).ok();
                }
                Order::Downloads(answer) => {
                    let download = Download {
                        guid: DOWNLOAD.to_owned(),
                        name: "report.csv".to_owned(),
                        bytes: 0,
                        state: DownloadState::Completed,
                    };
                    let scanner = Scanner::new(std::iter::empty()).map(Arc::new);
                    let list = vec![download];
                    answer.send(Downloads { list, scanner }).ok();
                }
                Order::Ping(answer)
                | Order::LeaseClosed(_, _, answer)
                | Order::Uploaded { answer, .. } => {
                    answer.send(()).ok();
                }
                Order::End(reason, answer) => {
                    if let Some(bind) = bound.take() {
                        let event = Event::SessionEnded {
                            reason: reason.clone(),
                        };
                        let draft = Draft {
                            at: Clock.now().wall,
                            actor: Actor::Broker,
                            event,
                        };
                        bind.recorder.record(draft).unwrap();
                        bind.recorder.finish().await.unwrap();
                        let session = bind.session;
                        bind.events
                            .send(SessionEvent::Ended { session, reason })
                            .ok();
                    }
                    answer.send(()).ok();
                    return;
                }
            }
        }
    });
    Ok(Handle {
        orders,
        clients,
        listener,
        version: "no browser".into(),
        folders: Folders::below(profile),
    })
}
