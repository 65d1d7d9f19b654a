//! Why a socket could not be opened, in words that help.

use std::io;

use super::Protocol;

/// A socket that could not be opened or made to listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The kernel, or this network namespace, does not have the protocol.
    #[error("{0} is not there: {hint}", hint = .0.missing())]
    NoProtocol(Protocol),
    /// The process may not.
    #[error("no permission to {0}: {1}")]
    Permission(&'static str, &'static str),
    /// LISTEN was not answered: the kernel ignores it outside of the first pid and user namespaces.
    #[error(
        "the kernel did not answer PROC_CN_MCAST_LISTEN: process events are told in the first pid and user namespaces \
         only (is this a container?), by a kernel with CONFIG_PROC_EVENTS"
    )]
    NoAnswer,
    /// Anything else that the operating system says.
    #[error("could not {0}: {1}")]
    Io(&'static str, #[source] io::Error),
}

impl OpenError {
    /// What an error of a system call means for somebody who wants to do `what`, and what would `need` be missing.
    pub(super) fn of(what: &'static str, need: &'static str) -> impl Fn(rustix::io::Errno) -> OpenError {
        move |errno| match errno {
            rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => OpenError::Permission(what, need),
            errno => OpenError::Io(what, errno.into()),
        }
    }
}
