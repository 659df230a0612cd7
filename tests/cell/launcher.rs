//! The launcher alone, without a cell around it.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd,
    path::Path,
    process::{Command, Output, Stdio},
};

use hallpass::browser::cell_exec::{Layer, Limits, Plan};
use rustix::{
    io::Errno,
    net::{self, AddressFamily, Protocol, SendFlags, SocketType, ipproto, netlink},
};

use super::{LAUNCHER, is_root};

// The browser's place is taken by this test binary, which tells that it is
// meant by the language: nothing else of the environment goes in.
const PLAY: &str = "play-confined";

fn plan(program: &Path, profile: &Path) -> Plan {
    Plan {
        broker: std::process::id(),
        program: program.to_owned(),
        arguments: Vec::new(),
        profile: profile.to_owned(),
        user: None,
        execute: vec![program.to_owned()],
        connect: Vec::new(),
        layers: BTreeSet::new(),
        require: BTreeSet::new(),
        limits: Limits::default(),
        language: "C".to_owned(),
        timezone: "UTC".to_owned(),
    }
}

fn run(plan: &Plan, go: &[u8]) -> Output {
    let mut launcher = Command::new(LAUNCHER)
        .arg("cell-exec")
        .arg(serde_json::to_string(plan).unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have refused already.
    let _ = launcher.stdin.take().unwrap().write_all(go);
    launcher.wait_with_output().unwrap()
}

fn assert_refused(plan: &Plan, go: &[u8], why: &str) {
    let output = run(plan, go);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(text.contains(why), "{text}");
}

#[test]
fn it_refuses_to_run_without_a_broker() {
    for arguments in [vec!["cell-exec"], vec!["cell-exec", "{}"]] {
        let output = Command::new(LAUNCHER)
            .args(&arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(125));
        assert!(String::from_utf8_lossy(&output.stderr).contains("started by the broker"));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan("/bin/true".as_ref(), folder.path());
    assert!(run(&plan, b"\n").status.success(), "the control runs");
    assert_refused(&plan, b"", "the broker ended");
    plan.broker += 1;
    assert_refused(&plan, b"\n", "the broker ended");
}

#[test]
fn it_never_becomes_root() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut plan = plan("/bin/true".as_ref(), folder.path());
    plan.user = Some(0);
    assert_refused(&plan, b"\n", "never runs as root");
}

#[test]
fn what_is_required_and_not_applied_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    for layer in Layer::ALL {
        let mut plan = plan("/bin/true".as_ref(), folder.path());
        plan.require.insert(layer);
        assert_refused(&plan, b"\n", &layer.to_string());
    }
}

#[test]
fn every_way_around_the_egress_port_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (open, closed) = (listener(), listener());
    let ports = [&open, &closed].map(|l| l.local_addr().unwrap().port());
    fs::write(folder.path().join("ports"), format!("{ports:?}")).unwrap();
    for confined in [true, false] {
        let mut plan = plan(&std::env::current_exe().unwrap(), folder.path());
        PLAY.clone_into(&mut plan.language);
        plan.arguments = ["--exact", "launcher::play_confined", "--nocapture"]
            .map(str::to_owned)
            .to_vec();
        plan.connect = vec![ports[0]];
        if confined {
            plan.layers = Layer::ALL.into_iter().collect();
            plan.layers.remove(&Layer::User);
        } else {
            plan.timezone = "free".to_owned();
        }
        let output = run(&plan, b"\n");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && text.contains("played"),
            "{output:?}"
        );
        // Where only the verdict is read, only the verdict is said.
        let verdict = String::from_utf8_lossy(&output.stdout);
        assert_eq!(verdict.lines().count(), 1, "{verdict}");
    }
}

fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

/// What the test above has run under confinement and, as a control, free.
#[test]
fn play_confined() {
    if std::env::var("LANG").as_deref() != Ok(PLAY) {
        return;
    }
    let free = std::env::var("TZ").as_deref() == Ok("free");
    let ports: [u16; 2] = serde_json::from_slice(&fs::read("ports").unwrap()).unwrap();
    let [open, closed] = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));

    TcpStream::connect(open).unwrap();
    assert_eq!(TcpStream::connect(closed).is_ok(), free);
    assert_eq!(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).is_ok(), free);
    assert_eq!(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).is_ok(), free);

    // Connects without `connect`: nothing may reach the closed port.
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let fast_open = SendFlags::from_bits_retain(0x2000_0000);
    let sent = net::sendto(socket.as_fd(), b"x", fast_open, &closed);
    assert!(
        sent.is_ok() == free || sent == Err(Errno::OPNOTSUPP),
        "{sent:?}"
    );

    let try_socket =
        |family, kind, protocol: Option<Protocol>| net::socket(family, kind, protocol).map(drop);
    let (stream, datagram) = (SocketType::STREAM, SocketType::DGRAM);
    for (family, kind, protocol) in [
        (AddressFamily::INET, datagram, None),
        (AddressFamily::INET6, datagram, None),
        (AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)),
        (AddressFamily::INET, SocketType::SEQPACKET, None),
        (AddressFamily::INET, stream, Some(ipproto::MPTCP)),
        (AddressFamily::INET6, stream, Some(ipproto::MPTCP)),
        (AddressFamily::INET, stream, Some(ipproto::SCTP)),
        (AddressFamily::VSOCK, stream, None),
        (AddressFamily::PACKET, SocketType::RAW, None),
        (AddressFamily::from_raw(38), SocketType::SEQPACKET, None),
        (AddressFamily::NETLINK, datagram, Some(netlink::AUDIT)),
    ] {
        let refused = try_socket(family, kind, protocol) == Err(Errno::ACCESS);
        // Free, each is made or is unknown to the kernel, but not refused here.
        assert!(refused || free, "{family:?} {kind:?} {protocol:?}");
    }
    if free {
        assert_eq!(try_socket(AddressFamily::INET, datagram, None), Ok(()));
    }
    for (family, kind, protocol) in [
        (AddressFamily::INET, stream, None),
        (AddressFamily::INET6, stream, Some(ipproto::TCP)),
        (AddressFamily::UNIX, datagram, None),
        (AddressFamily::NETLINK, SocketType::RAW, None),
    ] {
        assert_eq!(try_socket(family, kind, protocol), Ok(()), "{family:?}");
    }

    assert_eq!(fs::read("/etc/passwd").is_ok(), free);
    assert_eq!(Command::new("/bin/true").status().is_ok(), free);
    fs::write("own", "mine").unwrap();
    println!("played");
}
