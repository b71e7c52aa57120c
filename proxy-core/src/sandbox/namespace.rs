//! Enters private user, network and process namespaces, and says plainly why it cannot.
//!
//! The user namespace maps the caller's own user and group to themselves, which an unprivileged process may do, so
//! that the command inside sees the files and the name it has outside. The process namespace makes the kernel end
//! everything inside with its first process.

use std::{fs, io};

use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
    unistd::{Gid, Uid, getegid, geteuid},
};

use super::Fault;

/// Moves the calling process, which must have one thread, into new user, network and mount namespaces.
pub fn enter() -> Result<(), Fault> {
    let (uid, gid) = (geteuid(), getegid());
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    unshare(flags).map_err(|errno| refused("unshare", errno))?;
    map_self(uid, gid).map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
        Some(errno @ (Errno::EPERM | Errno::EACCES)) => refused("uid_map", errno),
        _ => Fault::network("mapping the user", error),
    })
}

/// From now on children are in a new process namespace; the first of them is its init process, and the namespace ends
/// with it.
pub fn enter_processes() -> Result<(), Fault> {
    unshare(CloneFlags::CLONE_NEWPID).map_err(|errno| refused("unshare", errno))
}

/// Groups cannot be mapped before `setgroups` is given up.
fn map_self(uid: Uid, gid: Gid) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
}

/// Names what forbids namespaces on this machine.
pub fn refused(step: &str, errno: Errno) -> Fault {
    let setting = |path: &str| {
        fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        return Fault::Forbidden {
            cause: "AppArmor restricts user namespaces on this system (kernel.apparmor_restrict_unprivileged_userns=1)"
                .into(),
            remedy: "allow them with `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`".into(),
        };
    }
    if setting("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        return Fault::Forbidden {
            cause: "this kernel keeps user namespaces for root (kernel.unprivileged_userns_clone=0)".into(),
            remedy: "allow them with `sudo sysctl kernel.unprivileged_userns_clone=1`".into(),
        };
    }
    if setting("/proc/sys/user/max_user_namespaces") == "0" {
        return Fault::Forbidden {
            cause: "user namespaces are switched off (user.max_user_namespaces=0)".into(),
            remedy: "allow them with `sudo sysctl user.max_user_namespaces=10000`".into(),
        };
    }
    if setting("/proc/sys/user/max_net_namespaces") == "0" {
        return Fault::Forbidden {
            cause: "network namespaces are switched off (user.max_net_namespaces=0)".into(),
            remedy: "allow them with `sudo sysctl user.max_net_namespaces=10000`".into(),
        };
    }
    match errno {
        Errno::ENOSPC | Errno::EUSERS => Fault::Forbidden {
            cause: format!("the limit of namespaces is reached or they are nested too deep ({step}: {errno})"),
            remedy: "raise user.max_user_namespaces and user.max_net_namespaces".into(),
        },
        Errno::EINVAL | Errno::ENOSYS => Fault::Forbidden {
            cause: format!("this kernel has no user or network namespaces ({step}: {errno})"),
            remedy: "use a kernel with CONFIG_USER_NS and CONFIG_NET_NS".into(),
        },
        _ => Fault::Forbidden {
            cause: format!(
                "the system forbids user namespaces ({step}: {errno}), as a container's seccomp profile or a chroot does"
            ),
            remedy:
                "start the container with a profile that allows `unshare` (Docker: `--security-opt seccomp=unconfined`)"
                    .into(),
        },
    }
}
