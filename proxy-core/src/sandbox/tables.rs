//! In which of the kernel's tables rules are put in force: those of nf_tables, or where the kernel has none, the legacy ones
//! of iptables.

use std::io;

use super::{nft, plan::Plan, refused::Refused, xtables};

/// Tables of the kernel that take interception rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Tables {
    /// A table of its own in nf_tables, for IPv4 and IPv6
    Nft,
    /// Chains of its own in the legacy tables of iptables and ip6tables
    Iptables,
}

impl Tables {
    /// The plan as text: for `nft -f -`, or for `iptables-restore -n` and `ip6tables-restore -n`.
    pub fn text(self, plan: &Plan) -> String {
        match self {
            Self::Nft => plan.to_string(),
            Self::Iptables => xtables::RestoreText(plan).to_string(),
        }
    }
}

/// Where rules are in force.
#[derive(Debug)]
pub struct Applied {
    /// The tables that hold them.
    pub tables: Tables,
    /// Why nf_tables does not, where it was asked first.
    pub instead: Option<Refused>,
    /// Rules of somebody else are in nf_tables, while these are in the legacy tables: of both, the kernel asks those first that
    /// were added last.
    pub beside_others: bool,
}

/// Puts the plan in force in these tables, or in those that the kernel has: in the place of what was applied before, in
/// whatever tables.
pub fn apply(plan: &Plan, tables: Option<Tables>) -> Result<Applied, Refused> {
    let mut applied = put(plan, tables)?;
    // Only now: in between, both lead to the same place.
    match applied.tables {
        Tables::Nft => xtables::remove()?,
        Tables::Iptables => {
            remove_from_nft()?;
            // Where nf_tables cannot be asked, nobody has rules there.
            applied.beside_others = nft::translates_for_others().unwrap_or(false);
        }
    }
    Ok(applied)
}

/// The same where nothing can have been applied in other tables.
pub fn put(plan: &Plan, tables: Option<Tables>) -> Result<Applied, Refused> {
    choose(tables, || nft::apply(plan), || xtables::apply(plan))
}

/// Rules that are in force until they are ended.
#[derive(Debug)]
#[must_use]
pub enum Held {
    /// In nf_tables: the kernel takes them away when the process ends, however it ends.
    Nft(nft::Held),
    /// In the legacy tables, since nf_tables says this. These know no owner: where the process is killed, they stay.
    Iptables(Refused),
}

impl Held {
    /// Takes them away.
    pub fn end(self) -> Result<(), Refused> {
        match self {
            Self::Nft(held) => {
                drop(held);
                Ok(())
            }
            Self::Iptables(_) => xtables::remove(),
        }
    }
}

/// Puts the plan in force where no rules of this program's are, until what this gives is ended.
pub fn hold(plan: &Plan) -> Result<Held, Refused> {
    if xtables::are_applied()? {
        return Err(Refused::Taken);
    }
    match nft::hold(plan) {
        Err(Refused::NoNat(lacking)) => instead(lacking, || xtables::apply(plan)).map(Held::Iptables),
        held => held.map(Held::Nft),
    }
}

/// Takes away what was applied, in whatever tables; nothing is there afterwards, whether something was before or not.
pub fn remove() -> Result<(), Refused> {
    remove_from_nft()?;
    xtables::remove()
}

/// Where there is no nf_tables there is nothing to take away.
fn remove_from_nft() -> Result<(), Refused> {
    match nft::remove() {
        Err(Refused::NoNat(_)) => Ok(()),
        outcome => outcome,
    }
}

/// nf_tables first. Only a kernel that lacks it is asked for the other: a right that is missing is missing for both, and what
/// else nf_tables says of the rules is to be seen.
fn choose(
    tables: Option<Tables>,
    nft: impl FnOnce() -> Result<(), Refused>,
    iptables: impl FnOnce() -> Result<(), Refused>,
) -> Result<Applied, Refused> {
    let by = |tables| {
        move |()| Applied {
            tables,
            instead: None,
            beside_others: false,
        }
    };
    match tables {
        Some(Tables::Nft) => nft().map(by(Tables::Nft)),
        Some(Tables::Iptables) => iptables().map(by(Tables::Iptables)),
        None => match nft() {
            Ok(()) => Ok(by(Tables::Nft)(())),
            Err(Refused::NoNat(lacking)) => Ok(Applied {
                instead: Some(instead(lacking, iptables)?),
                ..by(Tables::Iptables)(())
            }),
            Err(refused) => Err(refused),
        },
    }
}

/// The legacy tables, where nf_tables is `lacking`; gives why.
fn instead(lacking: io::Error, iptables: impl FnOnce() -> Result<(), Refused>) -> Result<Refused, Refused> {
    match iptables() {
        Ok(()) => Ok(Refused::NoNat(lacking)),
        Err(Refused::NoIptables(family, iptables)) => Err(Refused::Neither {
            nft: lacking,
            family,
            iptables,
        }),
        Err(refused) => Err(refused),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use nix::errno::Errno;

    use super::*;
    use crate::sandbox::xtables::Family;

    fn nft_says(errno: Errno) -> Result<(), Refused> {
        Err(io::Error::from(errno).into())
    }

    fn iptables_say(errno: Errno) -> Result<(), Refused> {
        Err(Refused::by_iptables(Family::V6, errno.into()))
    }

    #[test]
    fn a_kernel_without_nf_tables_is_asked_for_iptables() {
        // No socket of its kind; no such subsystem; no table for inet; no chain of kind nat, or no redir.
        for errno in [
            Errno::EPROTONOSUPPORT,
            Errno::EOPNOTSUPP,
            Errno::EAFNOSUPPORT,
            Errno::ENOENT,
        ] {
            let applied = choose(None, || nft_says(errno), || Ok(())).unwrap();
            assert_eq!(applied.tables, Tables::Iptables, "{errno}");
            assert!(applied.instead.unwrap().to_string().contains("nf_tables"), "{errno}");
        }
    }

    #[test]
    fn a_missing_right_or_a_refused_rule_is_said_and_nothing_else_is_tried() {
        for errno in [Errno::EPERM, Errno::EACCES, Errno::EINVAL, Errno::ENOBUFS] {
            let refused = choose(
                None,
                || nft_says(errno),
                || unreachable!("iptables is not asked after {errno}"),
            );
            assert!(
                matches!(refused, Err(Refused::NotPermitted | Refused::System(_))),
                "{errno}"
            );
        }
    }

    #[test]
    fn the_tables_that_are_asked_for_are_the_only_ones_that_are_tried() {
        let by = choose(Some(Tables::Iptables), || unreachable!("not asked for"), || Ok(())).unwrap();
        assert_eq!((by.tables, by.instead.is_none()), (Tables::Iptables, true));
        let never = || unreachable!("not asked for");
        let refused = choose(Some(Tables::Nft), || nft_says(Errno::EOPNOTSUPP), never);
        assert!(matches!(refused, Err(Refused::NoNat(_))), "{refused:?}");
    }

    #[test]
    fn a_kernel_with_neither_is_told_by_the_modules_of_both() {
        for errno in [Errno::ENOPROTOOPT, Errno::ENOENT] {
            let refused = choose(None, || nft_says(Errno::EPROTONOSUPPORT), || iptables_say(errno));
            let said = refused.unwrap_err().to_string();
            for part in [
                "nft_redir",
                "ip6_tables",
                "ip6table_nat",
                "xt_owner",
                "IPv6",
                "explicit proxy",
            ] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
    }
}
