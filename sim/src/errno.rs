//! What a modelled kernel function returns when it fails: an ordinary result, not bad news.

use std::fmt;

/// An error number of Linux 2.6.11 (x86). `Display` prints it as the kernel's sources write it: `-ENOMEM`.
///
/// Source: `include/asm-generic/errno-base.h`, `errno.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(u16);

macro_rules! errnos {
    ($($name:ident $number:literal $text:literal $says:literal;)*) => {
        #[allow(non_upper_case_globals)] // Spelled like the variants of an enum; a number outside the list stays possible.
        impl Errno {
            $(#[doc = concat!("`", $text, "` (", stringify!($number), "): ", $says, ".")] pub const $name: Errno = Errno($number);)*

            /// The name without its sign (`ENOMEM`), or `None` for a number outside this list.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($number => Some($text),)* _ => None }
            }
        }
    };
}

errnos! {
    Perm 1 "EPERM" "not permitted";
    NoEnt 2 "ENOENT" "no such file or directory";
    Srch 3 "ESRCH" "no such process";
    Intr 4 "EINTR" "interrupted";
    Io 5 "EIO" "input/output error";
    Child 10 "ECHILD" "no child processes";
    Again 11 "EAGAIN" "try again";
    NoMem 12 "ENOMEM" "out of memory";
    Fault 14 "EFAULT" "bad address";
    Exist 17 "EEXIST" "file exists";
    NoDev 19 "ENODEV" "no such device";
    Inval 22 "EINVAL" "invalid argument";
    MFile 24 "EMFILE" "too many open files";
    OpNotSupp 95 "EOPNOTSUPP" "operation not supported";
    AddrInUse 98 "EADDRINUSE" "address already in use";
    NoBufs 105 "ENOBUFS" "no buffer space available";
}

impl Errno {
    /// From a positive number, for results that come from outside (a scenario, a vector).
    #[must_use]
    pub const fn from_number(number: u16) -> Errno {
        Errno(number)
    }

    /// The negative number that the kernel function returns: `-12` for `-ENOMEM`.
    #[must_use]
    pub const fn rc(self) -> i64 {
        -(self.0 as i64)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "-{name}"),
            None => write!(f, "-{}", self.0),
        }
    }
}

impl std::error::Error for Errno {}

/// `0` or the positive value on success, the negative error number otherwise: the kernel's single return value.
pub trait Rc {
    /// The number as a C function returns it.
    fn rc(&self) -> i64;
}

impl Rc for Result<(), Errno> {
    fn rc(&self) -> i64 {
        self.map_or_else(Errno::rc, |()| 0)
    }
}

impl Rc for Result<i32, Errno> {
    fn rc(&self) -> i64 {
        self.map_or_else(Errno::rc, i64::from)
    }
}

impl Rc for Result<usize, Errno> {
    fn rc(&self) -> i64 {
        self.map_or_else(Errno::rc, |n| i64::try_from(n).expect("a length fits in 63 bits"))
    }
}
