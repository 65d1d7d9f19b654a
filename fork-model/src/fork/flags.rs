//! What a fork is asked to share and to do. Models `include/linux/sched.h`.

macro_rules! flags {
    ($($name:ident $text:literal $bits:literal $says:literal;)*) => {
        $(#[doc = concat!("`", $text, "`: ", $says, ".")] pub const $name: u32 = $bits;)*

        /// All flags by the kernel's name, lowest bit first.
        pub const ALL: &[(&str, u32)] = &[$(($text, $name)),*];
    };
}
flags! {
    VM "CLONE_VM" 0x100 "share the memory";
    FS "CLONE_FS" 0x200 "share root, working directory and umask";
    FILES "CLONE_FILES" 0x400 "share open files";
    SIGHAND "CLONE_SIGHAND" 0x800 "share signal handlers; needs `CLONE_VM`";
    PTRACE "CLONE_PTRACE" 0x2000 "trace the child, too";
    VFORK "CLONE_VFORK" 0x4000 "wait until the child execs or exits";
    PARENT "CLONE_PARENT" 0x8000 "the child becomes a sibling";
    THREAD "CLONE_THREAD" 0x10000 "the child becomes a thread of the group; needs `CLONE_SIGHAND`";
    NEWNS "CLONE_NEWNS" 0x20000 "new mount namespace; not with `CLONE_FS`";
    SYSVSEM "CLONE_SYSVSEM" 0x40000 "share System V undo lists";
    SETTLS "CLONE_SETTLS" 0x80000 "set thread-local storage";
    PARENT_SETTID "CLONE_PARENT_SETTID" 0x10_0000 "store the child's pid in the parent's memory";
    CHILD_CLEARTID "CLONE_CHILD_CLEARTID" 0x20_0000 "clear the child's pid in its memory when it exits";
    DETACHED "CLONE_DETACHED" 0x40_0000 "means nothing any more";
    UNTRACED "CLONE_UNTRACED" 0x80_0000 "a tracer cannot force `CLONE_PTRACE`";
    CHILD_SETTID "CLONE_CHILD_SETTID" 0x100_0000 "store the child's pid in its memory";
    STOPPED "CLONE_STOPPED" 0x200_0000 "the child is born stopped";
}
/// The bits that name the child's exit signal.
pub const CSIGNAL: u32 = 0xff;
/// A plain `fork()`.
pub const SIGCHLD: u32 = 17;
