//! Every engine, and every way to get it wrong.

use super::*;

fn auto(variables: &[(&str, &str)]) -> Result<String, String> {
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    from_environment(&environment).map(|shard| shard.to_string()).map_err(|error| error.to_string())
}

fn ok(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

fn refused(variables: &[(&str, &str)]) -> String {
    auto(variables).expect_err("it is wrong")
}

#[test]
fn kubernetes_counts_from_0_and_is_told_how_many() {
    assert_eq!(auto(&[("JOB_COMPLETION_INDEX", "0"), ("FORKLAB_SHARDS", "8")]), ok("1/8"));
    assert_eq!(auto(&[("JOB_COMPLETION_INDEX", "7"), ("FORKLAB_SHARDS", "8")]), ok("8/8"));
    assert_eq!(
        refused(&[("JOB_COMPLETION_INDEX", "0")]),
        "<environment>: found no FORKLAB_SHARDS, expected a number from 1 to 1000000"
    );
    assert_eq!(
        refused(&[("JOB_COMPLETION_INDEX", "8"), ("FORKLAB_SHARDS", "8")]),
        "<environment>: found JOB_COMPLETION_INDEX=\"8\", expected a number from 0 to 7"
    );
}

#[test]
fn slurm_arrays_begin_anywhere_and_may_have_steps() {
    let array = |id, more: &[(&'static str, &'static str)]| {
        let mut all = vec![("SLURM_ARRAY_TASK_ID", id)];
        all.extend_from_slice(more);
        auto(&all)
    };
    let count = [("SLURM_ARRAY_TASK_MIN", "1"), ("SLURM_ARRAY_TASK_MAX", "8"), ("SLURM_ARRAY_TASK_COUNT", "8")];
    assert_eq!(array("1", &count), ok("1/8"));
    assert_eq!(array("8", &count), ok("8/8"));
    assert_eq!(array("3", &[("SLURM_ARRAY_TASK_MIN", "0"), ("SLURM_ARRAY_TASK_MAX", "3")]), ok("4/4"));
    let steps = [("SLURM_ARRAY_TASK_MIN", "10"), ("SLURM_ARRAY_TASK_MAX", "80"), ("SLURM_ARRAY_TASK_STEP", "10")];
    assert_eq!(array("30", &steps), ok("3/8"));
    let gap = array("35", &steps).expect_err("between two tasks");
    assert!(gap.contains("SLURM_ARRAY_TASK_ID=35, expected 10 and steps of 10"), "{gap}");
    let outside = array("9", &count).expect_err("beyond the last");
    assert!(outside.contains("SLURM_ARRAY_TASK_ID=\"9\", expected a number from 1 to 8"), "{outside}");
    let alone = array("1", &[]).expect_err("no bounds");
    assert!(alone.contains("no SLURM_ARRAY_TASK_MIN"), "{alone}");
}

#[test]
fn every_other_engine_counts_as_its_manual_says() {
    let pairs = [
        ("CI_NODE_INDEX", "CI_NODE_TOTAL", 1),
        ("CIRCLE_NODE_INDEX", "CIRCLE_NODE_TOTAL", 0),
        ("BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", 0),
        ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", 0),
        ("PBS_ARRAY_INDEX", "FORKLAB_SHARDS", 1),
    ];
    for (index, total, from) in pairs {
        for i in 0..5_u32 {
            let (at, shown) = ((i + from).to_string(), format!("{}/5", i + 1));
            assert_eq!(auto(&[(index, &at), (total, "5")]), ok(&shown), "{index}={at}");
        }
        let beyond = (5 + from).to_string();
        assert!(refused(&[(index, &beyond), (total, "5")]).contains(&format!("{index}=\"{beyond}\"")));
        assert!(refused(&[(index, "1")]).contains(&format!("no {total}")));
        assert!(refused(&[(index, "1"), (total, "many")]).contains(&format!("{total}=\"many\"")));
        assert!(refused(&[(index, "1"), (total, "0")]).contains(&format!("{total}=\"0\"")));
    }
}

#[test]
fn our_own_variable_wins_over_every_engine() {
    let github = [("FORKLAB_SHARD", "2/8"), ("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "3")];
    assert_eq!(auto(&github), ok("2/8"));
    assert_eq!(
        refused(&[("FORKLAB_SHARD", "9/8")]),
        "<environment>: found FORKLAB_SHARD=\"9/8\", expected I/N with I from 1 to N, such as 2/8"
    );
}

#[test]
fn two_engines_at_once_and_none_at_all_are_refused_by_name() {
    let both = refused(&[("JOB_COMPLETION_INDEX", "0"), ("SLURM_ARRAY_TASK_ID", "1")]);
    assert!(both.contains("SLURM_ARRAY_TASK_ID (Slurm) and JOB_COMPLETION_INDEX (Kubernetes)"), "{both}");
    let none = refused(&[("FORKLAB_SHARDS", "8"), ("HOME", "/")]);
    assert!(none.contains("no variable of an array job, expected --shard I/N, or one of FORKLAB_SHARD"), "{none}");
}
