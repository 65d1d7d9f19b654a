//! What each hook promises, over many schedules. A failure prints the report, which ends in a line that brings it back.

use fork_model::Hook;
use forklab::lab::run::{Loaded, Report, Watch, run};
use forklab::lab::spec::{Order, Source, Spec};
use sim::Rule;

/// Schedules of each scenario: uniform draws seldom let a child run through at once, about once in 200.
const SEEDS: u64 = 400;

fn reports(scenario: &str, hook: Hook) -> impl Iterator<Item = Report> {
    let spec = Spec { design: hook.into(), ..Spec::new(Source::BuiltIn(scenario.into())) };
    (0..SEEDS).map(move |seed| {
        let spec = Spec { order: Order::Seed(seed), ..spec.clone() };
        run(&Loaded::new(spec, |_| ()).expect("built in"), Watch::default()).expect("a seed can be followed")
    })
}

#[test]
fn the_repaired_hook_never_reads_a_freed_task_and_always_tells_the_right_pid() {
    for scenario in ["tour", "autoreap", "thread"] {
        for report in reports(scenario, Hook::EndSavedPid) {
            assert!(report.violations.is_empty(), "a rule broke:\n{report}");
            for listener in &report.listeners {
                assert_eq!(listener.tree.phantom, 0, "a listener believes in a child that never was:\n{report}");
                assert_eq!(listener.received, report.events_sent, "an event was lost:\n{report}");
            }
        }
    }
}

#[test]
fn the_hook_as_posted_reads_a_freed_task_where_the_child_frees_itself_and_nowhere_else() {
    let found =
        |scenario| reports(scenario, Hook::End).filter(|report| !report.violations.is_empty()).collect::<Vec<_>>();
    assert_eq!(found("tour").len(), 0, "a child that stays a zombie is safe");
    assert_eq!(found("thread").len(), 0, "on one CPU without preemption nobody gets in between");
    let reports = found("autoreap");
    assert!(!reports.is_empty(), "no schedule of {SEEDS} found it");
    for report in &reports {
        let rules: Vec<_> = report.violations.iter().map(|violation| violation.rule).collect();
        assert_eq!(rules, [Rule::UseAfterFree], "another rule broke:\n{report}");
        let cause = report.violations[0].cause.as_deref().unwrap_or_default();
        assert!(cause.starts_with("freed by lane "), "the cause is not told:\n{report}");
    }
}

#[test]
fn both_hooks_cost_the_same() {
    let cost = |hook| reports("tour", hook).next().map(|report| format!("{:?}", report.cost));
    assert_eq!(cost(Hook::End), cost(Hook::EndSavedPid));
}
