//! `get_kobj_path_length()` and `kobject_get_path()`.

use serde::Deserialize;
use serde_json::{Value, json};
use sim::What;
use uevent::Core;
use uevent::kobject::{get_kobj_path_length, kobject_get_path};

use crate::harness::bench::gfp;
use crate::harness::record::gfp_json;
use crate::harness::{self, Bench, Bytes, bytes_json, extend};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    nodes: Vec<Node>,
    target: usize,
    gfp: u32,
    gfp_name: Option<String>,
    alloc_fails: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    name: Option<Bytes>,
    parent: Option<usize>,
}

#[test]
fn every_recorded_path_is_built() {
    harness::check("kobject_path", run);
}

fn run(input: Input) -> Value {
    let bench = Bench::new();
    let kobjs: Vec<_> =
        input.nodes.iter().map(|node| bench.kobject(node.name.clone().map(|name| name.0), None)).collect();
    for (kobj, node) in kobjs.iter().zip(&input.nodes) {
        bench.core.kobj(*kobj, |k| k.parent = node.parent.map(|parent| kobjs[parent]));
    }
    if input.alloc_fails {
        bench.fail(&["kobject_get_path.path".into()]);
    }
    bench.measure();
    let (kobj, gfp) = (kobjs[input.target], gfp(input.gfp, input.gfp_name.as_deref()));
    let Some(length) = bench.run(async move |core: &Core| get_kobj_path_length(core, kobj).await) else {
        return json!({"crash": bench.crash(), "?path_length": null, "?alloc": null, "?path": null});
    };
    let path = bench.must(async move |core: &Core| {
        let path = kobject_get_path(core, kobj, gfp).await.ok()?;
        core.m.buf(path, "conformance", |buf| buf.bytes().to_vec()).ok()
    });
    let path = path.map(|mut path| {
        assert_eq!(path.pop(), Some(0), "a path ends in its NUL");
        path
    });
    json!({"path_length": length, "alloc": alloc(&bench), "path": bytes_json(path.as_deref()), "?crash": null})
}

fn alloc(bench: &Bench) -> Value {
    let alloc = bench.events().into_iter().find_map(|event| match event.what {
        What::Alloc { site, size, gfp, ok, .. } => {
            let mut alloc = json!({"site": site, "size": size, "ok": ok});
            extend(&mut alloc, gfp_json(gfp));
            Some(alloc)
        }
        _ => None,
    });
    alloc.expect("a path is allocated")
}
