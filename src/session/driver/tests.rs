use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{
    egress::{Egress, Limits, Resolver},
    model::id::TraceId,
    recorder::{Recorders, Settings, TraceKey},
    session::shared,
};

/// What a page can make a browser say without end.
const SAID: &[u8] = br#"{"method":"Network.dataReceived","params":{}}"#;
/// More than are taken before a task lets go of its thread.
const MANY: usize = 10_000;

/// A driver that has not begun.
struct Scene {
    driver: Box<Driver>,
    incoming: Incoming,
    ending: Ending,
    orders: mpsc::UnboundedReceiver<Box<Order>>,
    clients: mpsc::Receiver<FromClient>,
}

/// What is around it.
struct Around {
    /// Bytes that the browser has said and the driver has not taken.
    waiting: Arc<AtomicUsize>,
    answers: mpsc::UnboundedReceiver<ToClient>,
    _orders: mpsc::UnboundedSender<Box<Order>>,
    _clients: mpsc::Sender<FromClient>,
}

impl Scene {
    /// The browser has said so many things already, and a client that may only look
    /// has sent so many messages, each of which is answered.
    async fn set(said: usize, sent: usize) -> (Self, Around) {
        let resolver = Resolver::new(HashMap::new()).unwrap();
        let egress = Egress::new(resolver, Limits::default());
        let listener = Arc::new(egress.listen().await.unwrap());
        let said = vec![Bytes::from_static(SAID); said];
        let place = shared::place_of_nothing(listener, said);
        let waiting = place.incoming.waiting();
        let line = Line::shared(place);
        let (orders, order_in) = mpsc::unbounded_channel();
        let (clients, client_in) = mpsc::channel(sent + 1);
        let (out, answers) = mpsc::unbounded_channel();
        let opened = FromClient::Opened {
            client: 1,
            name: "a test".into(),
            watches: true,
            out,
            backlog: Arc::default(),
        };
        clients.send(opened).await.unwrap();
        for _ in 0..sent {
            let message = FromClient::Message {
                client: 1,
                bytes: Bytes::from_static(b"{}"),
            };
            clients.send(message).await.unwrap();
        }
        let pipe = line.outgoing;
        let driver = Driver::new(&line.listener, &line.folders, pipe, orders.downgrade());
        let scene = Self {
            driver: Box::new(driver),
            incoming: line.incoming,
            ending: line.ending,
            orders: order_in,
            clients: client_in,
        };
        let around = Around {
            waiting,
            answers,
            _orders: orders,
            _clients: clients,
        };
        (scene, around)
    }

    async fn run(self) {
        self.driver
            .run(self.incoming, self.ending, self.orders, self.clients)
            .await;
    }

    /// Of a session that ends at once if nobody is connected who may act.
    fn bind(&mut self, folder: &TempDir) {
        let recorders = Recorders::new(folder.path().into(), Settings::default()).unwrap();
        let key = TraceKey {
            key: [5; 32].into(),
            wrapped: Vec::new(),
        };
        let trace = TraceId::from_uuid(Uuid::from_u128(1));
        self.driver.bound = Some(Bound {
            session: SessionId::from_uuid(Uuid::from_u128(2)),
            leases: Arc::default(),
            recorder: recorders.create(trace, key).unwrap(),
            grace: Duration::ZERO,
            events: mpsc::unbounded_channel().0,
            board: Arc::default(),
            had_lease: false,
            over: HashSet::new(),
        });
    }
}

impl Around {
    fn waits(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }
}

#[tokio::test]
async fn a_client_is_heard_though_the_browser_never_stops_talking() {
    let (scene, mut around) = Scene::set(MANY, 1).await;
    let answer = tokio::select! {
        () = scene.run() => None,
        answer = around.answers.recv() => answer,
    };
    assert!(matches!(answer, Some(ToClient::Message(_))), "{answer:?}");
    assert!(around.waits(), "it was heard once the browser had said all");
}

#[tokio::test]
async fn time_passes_though_the_browser_never_stops_talking() {
    let folder = tempfile::tempdir().unwrap();
    let (mut scene, around) = Scene::set(MANY, 0).await;
    scene.bind(&folder);
    scene.run().await;
    assert!(around.waits(), "it ended once the browser had said all");
}
