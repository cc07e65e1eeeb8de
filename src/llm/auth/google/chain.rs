use crate::llm::auth::{Env, Fault, Fetch, Url, variable};
use crate::wire::url;

/// Where a token may come from.
#[derive(Debug)]
pub enum Source {
    /// A file with a [`Key`](super::Key).
    File {
        /// Where it is.
        path: String,
        /// The environment names it, so it must be there; one that `gcloud` may have written need not be.
        is_named: bool,
    },
    /// The request to the metadata server, whose answer [`Token::read`](super::Token::read) reads.
    Metadata(Fetch),
}

/// The sources to try, in this order, as the environment has them: the first that is there is meant.
///
/// # Errors
/// A variable that cannot be what it is.
pub fn sources(env: Env<'_>) -> Result<Vec<Source>, Fault> {
    if let Some(path) = variable(env, "GOOGLE_APPLICATION_CREDENTIALS") {
        return Ok(vec![Source::File { path, is_named: true }]);
    }
    let home = || Some(format!("{}/.config/gcloud", variable(env, "HOME")?));
    let folder = variable(env, "CLOUDSDK_CONFIG").or_else(home);
    let path = folder.map(|folder| format!("{folder}/application_default_credentials.json"));
    let file = path.map(|path| Source::File { path, is_named: false });
    Ok(file.into_iter().chain([Source::Metadata(metadata(env)?)]).collect())
}

/// The request for the token of the attached service account (Compute Engine, "Authenticate workloads to Google Cloud
/// APIs using service accounts"). GKE's metadata server takes the same.
fn metadata(env: Env<'_>) -> Result<Fetch, Fault> {
    // By its address: a worker that cannot resolve names yet can ask it all the same.
    let host = variable(env, HOST).unwrap_or_else(|| "169.254.169.254".to_owned());
    let url = url::host_port(host.as_bytes()).and_then(|_| Url::parse(&format!("http://{host}{TOKEN_PATH}")));
    let url = url.ok_or_else(|| {
        let help = "write a name or an address, with :port if need be";
        Fault::new(format!("the environment's {HOST:?} is no host"), help)
    })?;
    Ok(Fetch::get(url).header("metadata-flavor", "Google"))
}

const HOST: &str = "GCE_METADATA_HOST";
const TOKEN_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let env = |name: &str| Some(variables.iter().find(|(key, _)| *key == name)?.1.to_owned());
        let words = |source: &Source| match source {
            Source::File { path, is_named } => format!("{path} {is_named}"),
            Source::Metadata(fetch) => String::from_utf8_lossy(&fetch.url.authority()).into_owned(),
        };
        let sources = sources(&env).map_err(|fault| fault.to_string())?;
        Ok(sources.iter().map(words).collect())
    }

    #[test]
    fn sources_are_tried_in_the_order_of_google() {
        let (home, host) = (("HOME", "/h"), "169.254.169.254");
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let rows: [(Variables<'_>, &[&str]); 6] = [
            (&[], &[host]),
            (&[home], &["/h/.config/gcloud/application_default_credentials.json false", host]),
            (&[home, ("CLOUDSDK_CONFIG", "/g")], &["/g/application_default_credentials.json false", host]),
            (&[home, ("GOOGLE_APPLICATION_CREDENTIALS", "/k.json")], &["/k.json true"]),
            (&[("GCE_METADATA_HOST", "metadata:8080")], &["metadata:8080"]),
            (&[("GCE_METADATA_HOST", "")], &[host]),
        ];
        for (variables, expected) in rows {
            assert_eq!(found(variables).expect("sources"), expected, "{variables:?}");
        }
        let fault = found(&[("GCE_METADATA_HOST", "http://x")]).expect_err("no host");
        assert!(
            fault.starts_with("the environment's \"GCE_METADATA_HOST\" is no host; write a name"),
            "{fault}"
        );
    }

    #[test]
    fn the_metadata_server_is_asked_as_it_wants() {
        let mut out = Vec::new();
        metadata(&|_| None).expect("a request").write(&mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\nhost: 169.254.169.254\r\n\
             metadata-flavor: Google\r\n\r\n"
        );
    }
}
