//! The document about Functions: its program and its commands as they stand there.

use std::fs;

use crate::{
    installed::{has_program, not_run},
    kubeless::shell,
    process::{Running, dir, free_port},
    readme::{commands, root},
};

#[test]
fn the_commands_of_the_guide_to_functions_run() {
    let what = "the commands of docs/functions.md";
    if let Some(missing) = ["curl", "python3"].iter().find(|program| !has_program(program)) {
        return not_run(what, &format!("no {missing}"));
    }
    let document = fs::read_to_string(root().join("docs/functions.md")).unwrap();
    let program = document.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let here = dir(&[("hello.py", program.unwrap())]);
    let gateway = format!("127.0.0.1:{}", free_port());
    // Kept to the end, which is its own.
    let (mut running, mut outputs) = (Vec::new(), Vec::new());
    for (command, shown) in commands(&document) {
        if command == "windlass dev &" {
            let places = ["--console", "127.0.0.1:0", "--gateway", &gateway];
            let mut dev = Running::start(here.path(), &[&["dev"][..], &places].concat());
            dev.until("api https://");
            running.push(dev);
            continue;
        }
        let output = shell(here.path(), &command.replace("127.0.0.1:8080", &gateway), None);
        if !shown.is_empty() {
            // What answers through the gateway ends its line only if the function does.
            assert_eq!(output.trim_end(), shown.trim_end(), "{command}");
        }
        outputs.push((command, output));
    }
    let output = |part: &str| {
        let found = outputs.iter().find(|(command, _)| command.contains(part));
        found.map(|(_, output)| output.as_str()).unwrap_or_default()
    };
    assert!(output("function ls").contains("1/1 READY"), "{outputs:?}");
    assert!(output("function logs").contains("\"GET / HTTP/1.1\" 200"), "{outputs:?}");
    assert!(output("function top").contains("GET"), "{outputs:?}");
    assert!(output("deploy broken").contains("LoadFailed"), "{outputs:?}");
    assert_eq!(running.len(), 1);
}
