//! The tail of `copy_process()`: what a failed one gives back.

use crate::System;
use crate::fork::free_task;
use crate::fork::share::{mmput, put_sighand, put_signal};
use crate::sched::TaskRef;

/// The labels at which a failed `copy_process()` starts to unwind, in the order in which it falls through them.
///
/// A step that fails starts at the label of the step *before* it: `copy_mm` failing starts at `Signal`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BadFork {
    /// `bad_fork_cleanup_namespace`
    Namespace,
    /// `bad_fork_cleanup_keys`
    Keys,
    /// `bad_fork_cleanup_mm`
    Mm,
    /// `bad_fork_cleanup_signal`
    Signal,
    /// `bad_fork_cleanup_sighand`
    Sighand,
    /// `bad_fork_cleanup_fs`
    Fs,
    /// `bad_fork_cleanup_files`
    Files,
    /// `bad_fork_cleanup_semundo`
    Semundo,
    /// `bad_fork_cleanup_audit`
    Audit,
    /// `bad_fork_cleanup_security`
    Security,
    /// `bad_fork_cleanup_policy`
    Policy,
    /// `bad_fork_cleanup`
    Cleanup,
    /// `bad_fork_cleanup_put_domain`
    PutDomain,
    /// `bad_fork_cleanup_count`
    Count,
    /// `bad_fork_free`
    Free,
}

/// Undoes, from a label on, what `copy_process()` had done. Models the tail of that function.
pub(super) fn unwind(sys: &System, p: TaskRef, from: BadFork) {
    let undo = |label: BadFork, func: &'static str| {
        if from <= label {
            sys.m.call(func, Vec::new, None);
        }
        from <= label
    };
    undo(BadFork::Namespace, "exit_namespace");
    undo(BadFork::Keys, "exit_keys");
    if from <= BadFork::Mm
        && let Some(mm) = sys.task(p, |t| t.mm.take())
    {
        mmput(sys, mm);
    }
    if undo(BadFork::Signal, "exit_signal") {
        put_signal(sys, sys.task(p, |t| t.signal));
    }
    if undo(BadFork::Sighand, "exit_sighand") {
        put_sighand(sys, sys.task(p, |t| t.sighand));
    }
    undo(BadFork::Fs, "exit_fs");
    undo(BadFork::Files, "exit_files");
    undo(BadFork::Semundo, "exit_sem");
    undo(BadFork::Audit, "audit_free");
    undo(BadFork::Security, "security_task_free");
    if sys.config.numa {
        undo(BadFork::Policy, "mpol_free");
    }
    if sys.task(p, |t| t.has_binfmt) {
        undo(BadFork::Cleanup, "module_put(binfmt)");
    }
    undo(BadFork::PutDomain, "module_put(exec_domain)");
    if from <= BadFork::Count {
        put_user_counts(sys, p);
    }
    free_task(sys, p, sys.fixed(p, |t| t.thread_info));
}

fn put_user_counts(sys: &System, p: TaskRef) {
    let user = sys.task(p, |t| t.user);
    sys.m.call("put_group_info", Vec::new, None);
    sys.m.call("atomic_dec", || vec![("arg", "user.processes".into())], None);
    sys.m.call("free_uid", Vec::new, None);
    sys.user_add(user, |u| {
        u.group_info_usage -= 1;
        u.processes -= 1;
        u.count -= 1;
    });
}
