use super::{Container, Credentials, Instance, ProfileFiles, WebIdentity};
use crate::llm::auth::{Env, Fault, variable};

/// Where credentials may come from.
#[derive(Debug)]
pub enum Source {
    /// They are here, and do not end.
    Keys(Credentials),
    /// A token in a file that AWS's token service takes: a service account of Kubernetes (IRSA), for one.
    WebIdentity(WebIdentity),
    /// The files that the AWS CLI writes.
    Profile(ProfileFiles),
    /// An endpoint of the container: EKS Pod Identity, or a task of ECS.
    Container(Container),
    /// The metadata service of an EC2 instance.
    Instance(Instance),
}

/// The sources to try, in this order, as the environment has them. The first that has credentials is meant; one that
/// only fails to give them is a failure, not a reason to try the next: only files that are not there, or whose profile
/// says nothing of credentials, are passed over.
///
/// # Errors
/// Variables that contradict one another or cannot be what they are.
pub fn sources(env: Env<'_>) -> Result<Vec<Source>, Fault> {
    let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];
    let value = |name: &str| variable(env, name).map(Into::into);
    if let Some(keys) = Credentials::read("the environment", names, value)? {
        return Ok(vec![Source::Keys(keys)]);
    }
    if let Some(identity) = WebIdentity::from_env(env)? {
        return Ok(vec![Source::WebIdentity(identity)]);
    }
    let mut found: Vec<Source> = ProfileFiles::from_env(env).map(Source::Profile).into_iter().collect();
    match Container::from_env(env)? {
        Some(container) => found.push(Source::Container(container)),
        None => found.extend(Instance::from_env(env)?.map(Source::Instance)),
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::auth::aws::ContainerToken;

    /// What is found with these variables, in words.
    fn found(variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let env = |name: &str| Some(variables.iter().find(|(key, _)| *key == name)?.1.to_owned());
        let words = |source: &Source| match source {
            Source::Keys(keys) => format!("keys {}", keys.access_key()),
            Source::WebIdentity(identity) => format!("web identity {}", identity.role),
            Source::Profile(files) => format!("profile {}", files.profile),
            Source::Container(container) => {
                let token = match &container.token {
                    ContainerToken::None => "none",
                    ContainerToken::Text(_) => "a token",
                    ContainerToken::File(path) => path,
                };
                format!("container {:?} {token}", container.url.target)
            }
            Source::Instance(instance) => format!("instance {}", instance.url.host),
        };
        let sources = sources(&env).map_err(|fault| fault.to_string())?;
        Ok(sources.iter().map(words).collect())
    }

    #[test]
    fn sources_are_tried_in_the_order_of_the_sdks() {
        let keys = [("AWS_ACCESS_KEY_ID", "AKIA1"), ("AWS_SECRET_ACCESS_KEY", "s")];
        let identity = [
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/secrets/token"),
        ];
        let home = [("HOME", "/h")];
        let relative = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x")];
        let full = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/var/run/token"),
        ];
        let instance = "instance 169.254.169.254";
        type Variables<'a> = &'a [&'a [(&'a str, &'a str)]];
        let rows: [(Variables<'_>, &[&str]); 9] = [
            (&[], &[instance]),
            (&[&[("AWS_EC2_METADATA_DISABLED", "TRUE")]], &[]),
            (&[&home], &["profile default", instance]),
            (&[&home, &[("AWS_PROFILE", "work")]], &["profile work", instance]),
            (&[&home, &full], &["profile default", "container \"/v1/credentials\" /var/run/token"]),
            (&[&full, &relative], &["container \"/v2/x\" /var/run/token"]),
            (&[&full, &home, &identity], &["web identity arn:aws:iam::1:role/r"]),
            (&[&full, &home, &identity, &keys], &["keys AKIA1"]),
            (&[&[("AWS_ACCESS_KEY_ID", ""), ("AWS_ROLE_ARN", "")]], &[instance]),
        ];
        for (variables, expected) in rows {
            let variables = variables.concat();
            assert_eq!(found(&variables).expect("sources"), expected, "{variables:?}");
        }
    }

    #[test]
    fn variables_that_contradict_one_another_are_named() {
        let rows: [(&[(&str, &str)], &str); 4] = [
            (
                &[("AWS_ACCESS_KEY_ID", "AKIA1")],
                "the environment has no \"AWS_SECRET_ACCESS_KEY\", but another",
            ),
            (&[("AWS_SESSION_TOKEN", "t")], "the environment has no \"AWS_ACCESS_KEY_ID\", but another part"),
            (
                &[("AWS_ROLE_ARN", "r")],
                "the environment has \"AWS_ROLE_ARN\" and no \"AWS_WEB_IDENTITY_TOKEN_FILE\"",
            ),
            (
                &[("AWS_WEB_IDENTITY_TOKEN_FILE", "f")],
                "the environment has \"AWS_WEB_IDENTITY_TOKEN_FILE\" and no \"AWS_ROLE_ARN\"; set both",
            ),
        ];
        for (variables, expected) in rows {
            let fault = found(variables).expect_err(expected);
            assert!(fault.starts_with(expected), "{fault}");
        }
    }
}
