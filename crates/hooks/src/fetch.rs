//! Files at URLs, got by the connections, proxies and names of Services that hooks have.

use api::{Fetch, FetchError, FetchRequest, without_login};
use bytes::Bytes;
use futures::{
    FutureExt,
    future::{BoxFuture, Either, select},
};
use http::{HeaderMap, Method, Response, Uri, header, uri::Scheme};
use http_body_util::{BodyExt, Full, LengthLimitError};
use hyper::body::Body;
use k8s::Reached;

use crate::webhook::{BoxError, Webhooks, addressed, elsewhere, read};

impl Fetch for Webhooks {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Bytes, FetchError>> {
        async move {
            let (url, login) = without_login(&request.url);
            let _token = self.activity.hold(format!("download of {url}"));
            let deadline = self.clock.after(request.timeout);
            let credentials: HeaderMap =
                login.map(|login| (header::AUTHORIZATION, login)).into_iter().collect();
            let got = self.get(&url, &credentials, &request).boxed();
            match select(got, self.clock.sleep_until(deadline)).await {
                Either::Left((got, _)) => got,
                Either::Right(((), _)) => {
                    Err(FetchError::TimedOut { url: url.clone(), timeout: request.timeout })
                }
            }
        }
        .boxed()
    }
}

impl Webhooks {
    async fn get(
        &self,
        first: &str,
        credentials: &HeaderMap,
        request: &FetchRequest,
    ) -> Result<Bytes, FetchError> {
        let unreachable = |source| FetchError::Unreachable { url: first.to_owned(), source };
        let mut url: Uri = first.parse().map_err(|error| unreachable(Box::new(error)))?;
        let home = url.clone();
        for _ in 0..=request.redirects {
            if ![Some(&Scheme::HTTP), Some(&Scheme::HTTPS)].contains(&url.scheme()) {
                return Err(unreachable("only `http` and `https` are spoken".into()));
            }
            let reached = self.find(&url).map_err(|error| unreachable(Box::new(error)))?;
            let call = addressed(&url, reached.as_ref()).method(Method::GET).body(Bytes::new());
            let mut call = call.map_err(|error| unreachable(Box::new(error)))?;
            // Where the request is sent on to has no right to the password.
            if url.authority() == home.authority() && url.scheme() == home.scheme() {
                call.headers_mut().extend(credentials.clone());
            }
            let response = if let Some(Reached::Handler(handler)) = reached {
                handler.handle(call).await
            } else {
                let login = self.clients.proxy_login(call.uri());
                call.headers_mut().extend(login.map(|login| (header::PROXY_AUTHORIZATION, login)));
                let client = self.clients.get(None).map_err(|error| unreachable(error.into()))?;
                let response = client.request(call.map(Full::new)).await;
                let response = response.map_err(|error| unreachable(Box::new(error)))?;
                response.map(|body| body.map_err(BoxError::from).boxed_unsync())
            };
            match elsewhere(&url, response.headers()) {
                Some(other) if response.status().is_redirection() => url = other,
                _ => return whole(first, request.limit, response).await,
            }
        }
        Err(FetchError::Redirects { url: first.to_owned(), limit: request.redirects })
    }
}

async fn whole<B>(url: &str, limit: usize, response: Response<B>) -> Result<Bytes, FetchError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let url = url.to_owned();
    let (head, body) = response.into_parts();
    // The page that tells of an error is no program.
    if !head.status.is_success() {
        return Err(FetchError::Refused { url, status: head.status.as_u16() });
    }
    read(&head.headers, body, limit).await.map_err(|source| {
        if source.is::<LengthLimitError>() {
            FetchError::TooLarge { url, limit }
        } else {
            FetchError::Unreachable { url, source }
        }
    })
}
