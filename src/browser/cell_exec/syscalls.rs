//! Seccomp: what Landlock does not see.
//!
//! Landlock knows TCP's `connect` and `bind`. Around it lead datagrams,
//! Multipath TCP, other socket families, TCP Fast Open (connects in `sendto`)
//! and `io_uring` (its operations pass no system call filter). All are refused
//! here. Refusals answer an error, so that Chromium falls back.

use std::{collections::BTreeMap, io};

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

const UNIX: u64 = libc::AF_UNIX as u64;
const INET: u64 = libc::AF_INET as u64;
const INET6: u64 = libc::AF_INET6 as u64;
const NETLINK: u64 = libc::AF_NETLINK as u64;

/// The part of `socket`'s second argument that is the type; flags are above.
const TYPE_MASK: u64 = 0xf;
const STREAM: u64 = libc::SOCK_STREAM as u64;
const TCP: u64 = libc::IPPROTO_TCP as u64;
const FAST_OPEN: u64 = libc::MSG_FASTOPEN as u64;

/// Routes and device events; the other Netlink families are attack surface.
const NETLINK_ROUTE: u64 = libc::NETLINK_ROUTE as u64;
const NETLINK_UEVENT: u64 = libc::NETLINK_KOBJECT_UEVENT as u64;

/// Never needed by a browser, and each a way around or into the kernel.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
];

/// Installs the filters for this process and all it starts.
pub(super) fn apply() -> io::Result<()> {
    if let Some(program) = foreign_numbers() {
        apply_filter(&program).map_err(io::Error::other)?;
    }
    for program in programs().map_err(io::Error::other)? {
        apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

fn programs() -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let sockets = BTreeMap::from([
        (libc::SYS_socket, sockets()?),
        (
            libc::SYS_socketpair,
            vec![SeccompRule::new(vec![argument(
                0,
                SeccompCmpOp::Ne,
                UNIX,
            )?])?],
        ),
        (libc::SYS_sendto, vec![fast_open(3)?]),
        (libc::SYS_sendmsg, vec![fast_open(2)?]),
        (libc::SYS_sendmmsg, vec![fast_open(3)?]),
    ]);
    let refused = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    [(sockets, libc::EACCES), (refused, libc::EPERM)]
        .into_iter()
        .map(|(rules, error)| {
            SeccompFilter::new(
                rules,
                SeccompAction::Allow,
                SeccompAction::Errno(error.unsigned_abs()),
                TargetArch::try_from(std::env::consts::ARCH)?,
            )?
            .try_into()
        })
        .collect()
}

// Each rule is one way to be refused.
fn sockets() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let not_among = |index, values: &[u64]| -> Result<Vec<_>, seccompiler::BackendError> {
        values
            .iter()
            .map(|value| argument(index, SeccompCmpOp::Ne, *value))
            .collect()
    };
    let mut rules = vec![SeccompRule::new(not_among(
        0,
        &[UNIX, INET, INET6, NETLINK],
    )?)?];
    for family in [INET, INET6] {
        for kind in (0..=TYPE_MASK).filter(|kind| *kind != STREAM) {
            rules.push(SeccompRule::new(vec![
                argument(0, SeccompCmpOp::Eq, family)?,
                argument(1, SeccompCmpOp::MaskedEq(TYPE_MASK), kind)?,
            ])?);
        }
        let mut protocol = not_among(2, &[0, TCP])?;
        protocol.push(argument(0, SeccompCmpOp::Eq, family)?);
        rules.push(SeccompRule::new(protocol)?);
    }
    let mut netlink = not_among(2, &[NETLINK_ROUTE, NETLINK_UEVENT])?;
    netlink.push(argument(0, SeccompCmpOp::Eq, NETLINK)?);
    rules.push(SeccompRule::new(netlink)?);
    Ok(rules)
}

fn fast_open(flags: u8) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![argument(
        flags,
        SeccompCmpOp::MaskedEq(FAST_OPEN),
        FAST_OPEN,
    )?])
}

// The kernel takes these arguments as `int`: the upper half is ignored there,
// so it must be ignored here.
fn argument(
    index: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
}

// On x86-64 the x32 numbers reach the same calls under the same architecture;
// the filters above would not know them. (Another architecture's calls end the
// process: seccompiler sees to that.)
fn foreign_numbers() -> Option<BpfProgram> {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_GREATER_OR_EQUAL: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const X32_BIT: u32 = 0x4000_0000;
    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0000;
    let instruction = |code, jt, k| sock_filter { code, jt, jf: 0, k };
    cfg!(target_arch = "x86_64").then(|| {
        vec![
            instruction(LOAD_NUMBER, 0, 0),
            instruction(JUMP_IF_GREATER_OR_EQUAL, 1, X32_BIT),
            instruction(RETURN, 0, ALLOW),
            instruction(RETURN, 0, ERRNO | libc::ENOSYS.unsigned_abs()),
        ]
    })
}
