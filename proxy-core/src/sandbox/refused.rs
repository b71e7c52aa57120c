//! Why the kernel does not take interception rules, with the way out for each.

use std::io;

use nix::errno::Errno;

use super::xtables::Family;

/// What nf_tables is made of.
const NFT_MODULES: &str = "Linux 5.2 or newer with the modules nf_tables, nft_chain_nat and nft_redir";

/// Why the kernel does not take the rules, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The right to set them is missing.
    #[error(
        "{}: give it to the init container (securityContext.capabilities.add), or use the explicit proxy (`run \
         --explicit`, and HTTP_PROXY and HTTPS_PROXY for the workload)",
        self.cause()
    )]
    NotPermitted,
    /// nf_tables lacks what they are made of.
    #[error(
        "{}; or use the explicit proxy (`run --explicit`, and HTTP_PROXY and HTTPS_PROXY for the workload)",
        self.cause()
    )]
    NoNat(io::Error),
    /// The tables of iptables lack what they are made of.
    #[error(
        "{}; or use the explicit proxy (`run --explicit`, and HTTP_PROXY and HTTPS_PROXY for the workload)",
        self.cause()
    )]
    NoIptables(Family, io::Error),
    /// Both do.
    #[error(
        "{}; or use the explicit proxy (`run --explicit`, and HTTP_PROXY and HTTPS_PROXY for the workload)",
        self.cause()
    )]
    Neither {
        /// What nf_tables says.
        nft: io::Error,
        /// Of which addresses the tables are missing.
        family: Family,
        /// What iptables' tables say.
        iptables: io::Error,
    },
    /// The kernel keeps rules that nobody holds.
    #[error("{}", self.cause())]
    NoOwner(io::Error),
    /// Others are in force.
    #[error("{}", self.cause())]
    Taken,
    /// Anything else.
    #[error("{}", self.cause())]
    System(io::Error),
}

impl Refused {
    /// Why, without the ways out of a pod.
    pub fn cause(&self) -> String {
        match self {
            Self::NotPermitted => {
                "interception rules need the capability NET_ADMIN, which this process does not have".into()
            }
            Self::NoNat(error) => {
                format!("this node's kernel has no nf_tables with NAT for inet ({error}): {NFT_MODULES} has it")
            }
            Self::NoIptables(family, error) => format!(
                "this node's kernel has no tables of iptables for {family} ({error}): the modules {} have them",
                family.modules()
            ),
            Self::Neither { nft, family, iptables } => format!(
                "this node's kernel has neither nf_tables with NAT for inet ({nft}) nor the tables of iptables for \
                 {family} ({iptables}): {NFT_MODULES} has the first, the modules {} have the second",
                family.modules()
            ),
            Self::NoOwner(error) => {
                format!(
                    "this node's kernel has no rules that end with who holds them ({error}): Linux 5.12 or newer has them"
                )
            }
            Self::Taken => "interception rules of another sidecar are in force in this network already".into(),
            Self::System(error) => format!("the kernel does not take the interception rules: {error}"),
        }
    }

    /// What the legacy tables say of a socket option. `ENOPROTOOPT`: nobody answers it; `ENOENT`: the table, a match or a
    /// target is not there; `EOPNOTSUPP` and the others: kernels that imitate Linux.
    pub(super) fn by_iptables(family: Family, error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EPERM | Errno::EACCES) => Self::NotPermitted,
            Some(
                Errno::ENOPROTOOPT
                | Errno::ENOENT
                | Errno::EOPNOTSUPP
                | Errno::EPROTONOSUPPORT
                | Errno::EPROTOTYPE
                | Errno::EAFNOSUPPORT,
            ) => Self::NoIptables(family, error),
            _ => Self::System(error),
        }
    }
}

/// What nf_tables says.
impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EPERM | Errno::EACCES) => Self::NotPermitted,
            Some(Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT | Errno::ENOENT) => {
                Self::NoNat(error)
            }
            _ => Self::System(error),
        }
    }
}
