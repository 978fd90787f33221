//! Pure: the full form of a container image's name.

/// Returns the name with registry, repository and tag or digest.
///
/// # Errors
///
/// Says what is wrong with the name.
pub(crate) fn canonical(image: &str) -> Result<String, String> {
    let invalid = |reason: &str| format!("invalid image name \"{image}\": {reason}");
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err(invalid("bad digest"));
    }
    let (registry, path) = split_registry(name);
    let (path, tag) = match path.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (path, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(invalid("bad tag"));
    }
    if path.split('/').any(|part| !is_component(part)) {
        return Err(invalid("bad repository"));
    }
    let library = if registry == DOCKER && !path.contains('/') { "library/" } else { "" };
    let reference = match (digest, tag) {
        (Some(digest), _) => format!("@{digest}"),
        (None, tag) => format!(":{}", tag.unwrap_or("latest")),
    };
    Ok(format!("{registry}/{library}{path}{reference}"))
}

const DOCKER: &str = "docker.io";

/// The first part is a registry only if it looks like a host.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
            (if host == "index.docker.io" { DOCKER } else { host }, path)
        }
        _ => (DOCKER, name),
    }
}

fn is_component(part: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    edge(part.chars().next())
        && edge(part.chars().next_back())
        && part.chars().all(|c| edge(Some(c)) || "._-".contains(c))
}

fn is_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128
        && tag.chars().next().is_some_and(word)
        && tag.chars().all(|c| word(c) || ".-".contains(c))
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, hex)| {
        !algorithm.is_empty() && 32 <= hex.len() && hex.chars().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_completed() {
        let digest = format!("sha256:{}", "0f".repeat(32));
        for (image, full) in [
            ("busybox", "docker.io/library/busybox:latest".to_owned()),
            ("a/b:1", "docker.io/a/b:1".to_owned()),
            ("localhost/x", "localhost/x:latest".to_owned()),
            ("ghcr.io:5000/a/b", "ghcr.io:5000/a/b:latest".to_owned()),
            (&format!("r/x:1@{digest}"), format!("docker.io/r/x@{digest}")),
        ] {
            assert_eq!(canonical(image), Ok(full));
        }
    }

    #[test]
    fn bad_names_are_refused() {
        for image in ["UPPER", "", "a//b", "a:", "a@sha256:x", "-a"] {
            assert!(canonical(image).is_err(), "{image}");
        }
    }
}
