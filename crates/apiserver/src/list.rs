//! Pure: lists: selectors, pages and the tokens that lead from one page to the next.

pub(crate) mod fields;
mod refused;

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use k8s::{Object, ObjectKey, selector::Selector};
use serde::{Deserialize, Serialize};

use crate::{error::ApiError, http::query::Query, list::fields::FieldFilter, registry::Registered};

/// Which objects of a resource are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) namespace: String,
    pub(crate) labels: Selector,
    pub(crate) fields: FieldFilter,
}

/// Where the next page starts and which snapshot it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Continue {
    /// Nothing means the newest.
    pub(crate) revision: Option<u64>,
    /// The key after which the page starts.
    pub(crate) after: ObjectKey,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) objects: Vec<Arc<Object>>,
    /// The key of the last object, if more objects follow.
    pub(crate) more_after: Option<ObjectKey>,
    /// How many follow, if that is known without looking at them.
    pub(crate) remaining: Option<usize>,
}

#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    rv: i64,
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl Filter {
    /// Reads the selectors of a query.
    pub(crate) fn parse(
        registered: &Registered,
        namespace: &str,
        name: &str,
        query: &Query,
    ) -> Result<Self, ApiError> {
        let labels = Selector::parse(query.get("labelSelector"))
            .map_err(|error| ApiError::bad_request(refused::labels(&error)))?;
        let mut fields = FieldFilter::parse(registered, query.get("fieldSelector"))?;
        if !name.is_empty() {
            fields.require_name(name);
        }
        Ok(Self { namespace: namespace.to_owned(), labels, fields })
    }

    /// Returns whether an object is wanted.
    pub(crate) fn matches(&self, object: &Object) -> bool {
        let meta = object.meta();
        (self.namespace.is_empty() || meta.namespace == self.namespace)
            && self.labels.matches(&meta.labels)
            && self.fields.matches(object)
    }

    /// Returns whether all objects of the namespace are wanted.
    pub(crate) fn is_open(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

/// Cuts one page out of the objects of a snapshot, which are in order.
pub(crate) fn page(
    objects: Vec<Arc<Object>>,
    filter: &Filter,
    after: Option<&ObjectKey>,
    limit: usize,
) -> Page {
    let start = after.map_or(0, |after| objects.partition_point(|it| it.key() <= *after));
    let limit = if limit == 0 { usize::MAX } else { limit };
    let total = objects.len();
    let mut found: Vec<Arc<Object>> = vec![];
    let mut rest = objects.into_iter().enumerate().skip(start).filter(|it| filter.matches(&it.1));
    let mut last = start;
    for (index, object) in rest.by_ref().take(limit) {
        last = index + 1;
        found.push(object);
    }
    let more = rest.next().is_some();
    Page {
        more_after: more.then(|| found.last().map(|it| it.key())).flatten(),
        remaining: (more && filter.is_open()).then(|| total.saturating_sub(last)),
        objects: found,
    }
}

impl Continue {
    /// Writes the token.
    pub(crate) fn encode(&self) -> String {
        let ObjectKey { namespace, name } = &self.after;
        let start = if namespace.is_empty() {
            format!("{name}\0")
        } else {
            format!("{namespace}/{name}\0")
        };
        let rv = self.revision.and_then(|it| i64::try_from(it).ok()).unwrap_or(-1);
        let token = Token { v: TOKEN_VERSION.to_owned(), rv, start };
        let json = serde_json::to_vec(&token).expect("a token is JSON");
        BASE64_URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads a token.
    pub(crate) fn decode(token: &str) -> Result<Self, ApiError> {
        let broken = |why: &str| {
            ApiError::bad_request(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let token = token.trim_end_matches('=');
        let json = BASE64_URL_SAFE_NO_PAD
            .decode(token)
            .map_err(|_| broken("illegal base64 data at input byte 0"))?;
        let Token { v, rv, start } = serde_json::from_slice(&json).map_err(|_| {
            let first = json.first().map_or(' ', |byte| char::from(*byte));
            broken(&format!("invalid character '{first}' looking for beginning of value"))
        })?;
        if v != TOKEN_VERSION {
            return Err(broken(&format!("server does not recognize this encoded version {v}")));
        }
        let revision = match rv {
            0 => {
                return Err(broken(&format!(
                    "incorrect encoded start resourceVersion (version {TOKEN_VERSION})"
                )));
            }
            rv => u64::try_from(rv).ok(),
        };
        let start = start.strip_suffix('\0').unwrap_or(&start);
        if start.is_empty() {
            return Err(broken(&format!("encoded start key empty (version {TOKEN_VERSION})")));
        }
        // A key that leads elsewhere is nobody's.
        if start.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(broken(start));
        }
        let (namespace, name) = start.split_once('/').unwrap_or(("", start));
        Ok(Self { revision, after: ObjectKey::new(namespace, name) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn objects(names: &[&str]) -> Vec<Arc<Object>> {
        let object = |name: &&str| {
            Arc::new(Object::from_value(&json!({"metadata": {"name": name}})).unwrap())
        };
        names.iter().map(object).collect()
    }

    fn names(page: &Page) -> Vec<&str> {
        page.objects.iter().map(|it| it.meta().name.as_str()).collect()
    }

    #[test]
    fn pages_follow_each_other() {
        let all = objects(&["a", "b", "c", "d", "e"]);
        let first = page(all.clone(), &Filter::default(), None, 2);
        assert_eq!((names(&first), first.remaining), (vec!["a", "b"], Some(3)));
        let second = page(all, &Filter::default(), first.more_after.as_ref(), 3);
        assert_eq!((names(&second), second.remaining), (vec!["c", "d", "e"], None));
        assert_eq!(second.more_after, None);
    }

    #[test]
    fn the_rest_is_not_counted_under_a_selector() {
        let fields = FieldFilter::default();
        let labels = Selector::parse("!x").unwrap();
        let filter = Filter { labels, fields, ..Filter::default() };
        let first = page(objects(&["a", "b"]), &filter, None, 1);
        assert_eq!((first.more_after.is_some(), first.remaining), (true, None));
    }

    #[test]
    fn tokens_are_read_back() {
        for key in [ObjectKey::new("", "a"), ObjectKey::new("n", "a")] {
            let token = Continue { revision: Some(7), after: key };
            assert_eq!(Continue::decode(&token.encode()).unwrap(), token);
        }
    }

    proptest! {
        #[test]
        fn any_token_is_read_or_refused(text in ".{0,80}") {
            if let Err(error) = Continue::decode(&text) {
                prop_assert_eq!(error.code(), 400);
            }
        }
    }
}
