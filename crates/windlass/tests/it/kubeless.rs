//! The way from Kubeless to windlass, by the commands of the document that describes it.
//!
//! Kubeless itself takes no part: what its command wrote stands here, and one `dev` plays the cluster.

use std::{env, fs, path::Path, process::Command};

use crate::{
    installed::{has_program, kubectl, not_run, until},
    process::{Running, dir},
    readme::{commands, root},
};

/// A Function as the old command wrote one.
const HELLO: &str = "
apiVersion: kubeless.io/v1beta1
kind: Function
metadata:
  creationTimestamp: null
  name: hello
  labels: {created-by: kubeless, function: hello}
spec:
  checksum: sha256:CHECKSUM
  deployment:
    metadata: {creationTimestamp: null}
    spec:
      strategy: {}
      template:
        metadata: {creationTimestamp: null}
        spec:
          containers: [{imagePullPolicy: Always, name: '', resources: {}}]
    status: {}
  deps: ''
  function: |
PROGRAM
  function-content-type: text
  handler: hello.say
  horizontalPodAutoscaler:
    metadata: {creationTimestamp: null}
    spec: {maxReplicas: 0, scaleTargetRef: {kind: '', name: ''}}
    status: {conditions: null, currentMetrics: null, currentReplicas: 0, desiredReplicas: 0}
  runtime: python2.7
  service:
    ports: [{name: http-function-port, port: 8080, protocol: TCP, targetPort: 8080}]
    selector: {created-by: kubeless, function: hello}
    type: ClusterIP
  timeout: '180'
";

const PROGRAM: &str = "def say(event, context):
    return 'Hello, ' + event['data']['name']
";

#[test]
fn the_commands_of_the_way_from_kubeless_run() {
    let what = "the commands of docs/migrate-from-kubeless.md";
    if let Some(missing) = ["kubectl", "python3"].iter().find(|program| !has_program(program)) {
        return not_run(what, &format!("no {missing}"));
    }
    let cluster = dir(&[]);
    let mut dev = Running::start(cluster.path(), &["dev"]);
    dev.until("api https://");
    let kubeconfig = cluster.path().join(".windlass/kubeconfig");
    let program = PROGRAM.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n");
    let manifest = HELLO.replace("PROGRAM", &program).replace("sha256:CHECKSUM", "''");
    until("Functions are served", || {
        kubectl(&kubeconfig, &["apply", "-f", "-"], Some(&manifest)).is_ok()
    });

    let here = dir(&[("hello.py", PROGRAM)]);
    let (mut at_home, mut outputs) = (None, Vec::new());
    let document = fs::read_to_string(root().join("docs/migrate-from-kubeless.md")).unwrap();
    for (command, _) in commands(&document) {
        if let Some(line) = command.strip_prefix("windlass ").and_then(|it| it.strip_suffix(" &")) {
            let arguments: Vec<_> = line.split_whitespace().collect();
            let mut dev = Running::start(here.path(), &arguments);
            dev.until("applied  Function default/hello");
            at_home = Some(dev);
            continue;
        }
        // What comes after it is asked of the `dev` of this directory.
        let output = shell(here.path(), &command, at_home.is_none().then_some(&kubeconfig));
        outputs.push((command, output));
    }
    let output = |start: &str| {
        let found = outputs.iter().find(|(command, _)| command.starts_with(start));
        found.map(|(_, output)| output.as_str()).unwrap_or_default()
    };
    assert_eq!(output("grep"), "1\n");
    assert!(output("./kubeless function ls").contains("hello.say"), "{outputs:?}");
    assert!(output("windlass function ls").contains("READY"), "{outputs:?}");
    for call in ["windlass function call ", "windlass function run "] {
        assert_eq!(output(call), "Hello, you\n", "{call}");
    }
}

/// Runs a line with this binary as `windlass`, and returns what it printed.
pub(crate) fn shell(dir: &Path, command: &str, kubeconfig: Option<&std::path::PathBuf>) -> String {
    let binaries = Path::new(env!("CARGO_BIN_EXE_windlass")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), env::var("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(dir).env("PATH", path).env_remove("KUBECONFIG");
    shell.envs(kubeconfig.map(|file| ("KUBECONFIG", file)));
    let output = shell.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command}:\n{stdout}{stderr}");
    stdout
}
