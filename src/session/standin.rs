//! All of a session but its browser: obeys the broker's orders and keeps the
//! record, so that the use cases can be tested under a clock that is set.

use std::{io, sync::Arc};

use tokio::sync::mpsc;

use super::{
    SessionEvent,
    driver::{Handle, Order},
};
use crate::{
    clock::Clock,
    egress::Egress,
    trace::record::{Actor, Draft, Event},
};

pub(super) async fn start(egress: &Egress) -> io::Result<Handle> {
    let (orders, mut incoming) = mpsc::unbounded_channel();
    let (clients, _) = mpsc::channel(1);
    let listener = Arc::new(egress.listen().await?);
    tokio::spawn(async move {
        let mut bound = None;
        while let Some(order) = incoming.recv().await {
            match order {
                Order::Bind(bind, answer) => {
                    bound = Some(bind);
                    answer.send(()).ok();
                }
                Order::LeaseAdded => {}
                Order::LeaseClosed(_, _, answer) => {
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
    })
}
