//! Whatever comes in, there is an answer.

use std::{path::Path, time::Duration};

use proptest::prelude::*;
use tokio::runtime::Runtime as Tokio;

use crate::harness::{Hooks, Server};

fn tokio() -> Tokio {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn any_body_is_answered() {
    let tokio = tokio();
    let server = tokio.block_on(Server::new(&[("id.jsonnet", "function(request) request")]));
    let bodies = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        "[\\[\\]{}:,\"a0-9.eE+\\-ntf \\\\u]{0,40}".prop_map(String::into_bytes),
    ];
    proptest!(ProptestConfig::with_cases(200), |(body in bodies)| {
        let reply = tokio.block_on(server.send("POST", "/id", &[], &body));
        prop_assert!([200, 400].contains(&reply.status), "{reply:?}");
    });
    assert_eq!(server.runtime.load_now(), (0, 0));
}

#[test]
fn any_program_is_answered() {
    let tokio = tokio();
    let hooks = tokio.block_on(Hooks::new(&[]));
    let words = prop_oneof![
        Just("local ".to_owned()),
        Just("function".to_owned()),
        Just("request".to_owned()),
        Just("import 'a'".to_owned()),
        Just("std.".to_owned()),
        Just("self.".to_owned()),
        Just("error ".to_owned()),
        Just(" for x in ".to_owned()),
        "[a-z0-9]{1,4}",
        "[\\[\\]{}()=:;,.+*/%$'\"|&!<> \\-]{1,3}",
    ];
    let programs = proptest::collection::vec(words, 0..20).prop_map(|words| words.concat());
    proptest!(ProptestConfig::with_cases(100), |(program in programs)| {
        std::fs::write(hooks.dir.path().join("a"), &program).unwrap();
        tokio.block_on(async {
            let _ = hooks.runtime.load("a", Path::new("a")).await;
            let timeout = Some(Duration::from_secs(5));
            let _ = hooks.runtime.call("a", "{}".into(), timeout).await;
        });
        prop_assert!(hooks.runtime.load_now() == (0, 0));
    });
}
