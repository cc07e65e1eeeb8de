//! The files that the AWS CLI writes (AWS SDKs and Tools Reference Guide, "Using shared config and credentials files").
//!
//! Lines are sections, settings, comments, or go on with the setting before, which none of ours does. Of all profiles
//! one is read, but a line that is none of these is a fault wherever it stands. No fault repeats a line: it may hold a
//! key.

use super::{Credentials, Source, WebIdentity};
use crate::llm::auth::{Env, Fault, variable};

/// Where a profile stands: two files, either of which may not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileFiles {
    /// The path of the `credentials` file, whose settings go before the other's.
    pub credentials: String,
    /// The path of the `config` file.
    pub config: String,
    /// The name of the profile.
    pub profile: String,
    /// The environment names the profile, so it must be there.
    pub is_named: bool,
}

impl ProfileFiles {
    /// As the environment has it; `None` when it says nothing of files and there is no home directory to look in.
    pub(super) fn from_env(env: Env<'_>) -> Option<ProfileFiles> {
        let home = variable(env, "HOME");
        let path = |name: &str, file: &str| match (variable(env, name), home.as_deref()) {
            (Some(path), Some(home)) if path.starts_with("~/") => Some(path.replacen('~', home, 1)),
            (Some(path), _) => Some(path),
            (None, home) => Some(format!("{}/.aws/{file}", home?)),
        };
        let credentials = path("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        let config = path("AWS_CONFIG_FILE", "config");
        if credentials.is_none() && config.is_none() {
            return None;
        }
        let profile = variable(env, "AWS_PROFILE");
        Some(ProfileFiles {
            credentials: credentials.unwrap_or_default(),
            config: config.unwrap_or_default(),
            is_named: profile.is_some(),
            profile: profile.unwrap_or_else(|| "default".to_owned()),
        })
    }

    /// The keys or the web identity of the profile, out of the texts of the two files, of which `None` does not exist.
    /// `None` when they say nothing of credentials and nobody asked for this profile.
    ///
    /// # Errors
    /// What is malformed, with its file and line; a profile that is named and not there; one that wants what is not
    /// looked up: Identity Center, a process, a role by way of another profile.
    pub fn read(&self, credentials: Option<&str>, config: Option<&str>) -> Result<Option<Source>, Fault> {
        let name = self.profile.as_str();
        let headings: [&[&str]; 2] = [&["profile", name], &[name]];
        let in_config = if name == "default" { &headings[..] } else { &headings[..1] };
        // The last one of a name counts: those of the credentials file stand behind the others.
        let mut settings = section(config, &self.config, in_config)?;
        settings.extend(section(credentials, &self.credentials, &headings[1..])?);
        let setting = |key: &str| {
            let found = settings.iter().rfind(|(name, _)| name.eq_ignore_ascii_case(key));
            found.map(|(_, value)| (*value).to_owned()).filter(|value| !value.is_empty())
        };
        let place = format!("the profile {name:?} of {:?} and {:?}", self.credentials, self.config);
        let role = setting("role_arn").map(|role| (role, setting("web_identity_token_file")));
        if let Some((role, Some(file))) = role {
            let identity = WebIdentity::new(&place, role, file, setting("role_session_name"))?;
            return Ok(Some(Source::WebIdentity(identity)));
        }
        let names = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];
        let keys = || Credentials::read(&place, names, |name| setting(name).map(Into::into));
        if role.is_none()
            && let Some(keys) = keys()?
        {
            return Ok(Some(Source::Keys(keys)));
        }
        match NOT_LOOKED_UP.into_iter().find(|key| setting(key).is_some()) {
            Some(key) => {
                let help =
                    "give it keys or a \"web_identity_token_file\", or set AWS_ACCESS_KEY_ID and the others";
                Err(Fault::new(format!("{place} has {key:?}, which is not looked up"), help))
            }
            None if self.is_named => {
                let help = "correct AWS_PROFILE, or write the profile with aws configure";
                Err(Fault::new(format!("{place} has no credentials"), help))
            }
            None => Ok(None),
        }
    }
}

/// Where else the CLI would get credentials.
const NOT_LOOKED_UP: [&str; 4] = ["role_arn", "sso_session", "sso_start_url", "credential_process"];

/// A name and its value.
type Setting<'t> = (&'t str, &'t str);

/// The settings below the first of `headings` that has any in `text`, in order; a heading is given as its words. A
/// section that stands several times is one.
fn section<'t>(text: Option<&'t str>, file: &str, headings: &[&[&str]]) -> Result<Vec<Setting<'t>>, Fault> {
    let mut found: Vec<(usize, Setting<'t>)> = Vec::new();
    let mut heading = None;
    for (text, number) in text.unwrap_or_default().lines().zip(1..) {
        let line = match (line(text), heading) {
            (Ok(Line::GoesOn | Line::Setting(_)), None) => Err("a setting before any section"),
            (line, _) => line,
        };
        match line {
            Ok(Line::Nothing | Line::GoesOn) => {}
            Ok(Line::Section(words)) => heading = Some(words),
            Ok(Line::Setting(setting)) => {
                let words = || heading.unwrap_or_default().split_whitespace();
                let place = headings.iter().position(|heading| words().eq(heading.iter().copied()));
                found.extend(place.map(|place| (place, setting)));
            }
            Err(what) => {
                let help =
                    "write [name] ([profile name] in config files), name = value, or # in front of a comment";
                return Err(Fault::new(format!("{file}:{number}: {what}"), help));
            }
        }
    }
    let first = found.iter().map(|(place, _)| *place).min();
    Ok(found.into_iter().filter(|(place, _)| Some(*place) == first).map(|(_, setting)| setting).collect())
}

/// What a line is.
enum Line<'t> {
    /// Blank, or a comment.
    Nothing,
    /// It belongs to the setting before.
    GoesOn,
    /// What stands between the brackets.
    Section(&'t str),
    Setting(Setting<'t>),
}

/// Reads a line; the error says what it is instead.
fn line(text: &str) -> Result<Line<'_>, &'static str> {
    let is_nothing = |text: &str| text.is_empty() || text.starts_with(['#', ';']);
    let trimmed = text.trim();
    match (trimmed.strip_prefix('['), trimmed.split_once('=')) {
        _ if is_nothing(trimmed) => Ok(Line::Nothing),
        _ if text.starts_with([' ', '\t']) => Ok(Line::GoesOn),
        (Some(rest), _) => match rest.split_once(']') {
            Some((heading, after)) if is_nothing(after.trim()) => Ok(Line::Section(heading)),
            Some(_) => Err("something else behind the \"]\" of a section"),
            None => Err("a section without its \"]\""),
        },
        (None, Some((name, value))) => match name.trim() {
            "" => Err("a setting without a name"),
            name => Ok(Line::Setting((name, uncommented(value).trim()))),
        },
        (None, None) => Err("neither a section nor a setting"),
    }
}

/// The value without a comment behind it, which begins with `#` or `;` after a space.
fn uncommented(value: &str) -> &str {
    let comments = [" #", " ;", "\t#", "\t;"].map(|start| value.find(start));
    let end = comments.into_iter().flatten().min().unwrap_or(value.len());
    value.get(..end).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(profile: Option<&str>) -> ProfileFiles {
        let env = |name: &str| match name {
            "HOME" => Some("/h".to_owned()),
            "AWS_PROFILE" => profile.map(str::to_owned),
            _ => None,
        };
        ProfileFiles::from_env(&env).expect("a home")
    }

    /// What the texts say, in words.
    fn read(profile: Option<&str>, credentials: &str, config: &str) -> Result<String, String> {
        match files(profile).read(Some(credentials), Some(config)).map_err(|fault| fault.to_string())? {
            None => Ok("nothing".to_owned()),
            Some(Source::WebIdentity(identity)) => {
                Ok(format!("{} {} {}", identity.role, identity.token_file, identity.session))
            }
            Some(Source::Keys(keys)) => {
                let text =
                    |secret: &crate::base::Secret| String::from_utf8_lossy(secret.expose()).into_owned();
                let token = keys.session_token().map(text).unwrap_or_default();
                Ok(format!("{} {} {token}", keys.access_key(), text(keys.secret_key())).trim_end().to_owned())
            }
            Some(other) => panic!("{other:?}"),
        }
    }

    const KEYS: &str = "aws_access_key_id = AKIA1\naws_secret_access_key = s3cret\n";

    #[test]
    fn files_are_where_the_environment_says() {
        let found = |variables: &[(&str, &str)]| {
            let env = |name: &str| Some(variables.iter().find(|(key, _)| *key == name)?.1.to_owned());
            ProfileFiles::from_env(&env)
                .map(|files| (files.credentials, files.config, files.profile, files.is_named))
        };
        let owned =
            |a: &str, b: &str, c: &str, named| Some((a.to_owned(), b.to_owned(), c.to_owned(), named));
        assert_eq!(found(&[]), None);
        assert_eq!(
            found(&[("HOME", "/h")]),
            owned("/h/.aws/credentials", "/h/.aws/config", "default", false)
        );
        let named = [("HOME", "/h"), ("AWS_PROFILE", "p"), ("AWS_CONFIG_FILE", "~/c~")];
        assert_eq!(found(&named), owned("/h/.aws/credentials", "/h/c~", "p", true));
        assert_eq!(found(&[("AWS_SHARED_CREDENTIALS_FILE", "/k")]), owned("/k", "", "default", false));
    }

    #[test]
    fn profiles_are_read_as_the_cli_reads_them() {
        let default = format!("[default]\n{KEYS}");
        let config = |heading: &str| format!("[{heading}]\n{KEYS}");
        #[rustfmt::skip]
        let rows: [(Option<&str>, &str, &str, &str); 20] = [
            (None, "", "", "nothing"),
            (None, "[default]\nregion = x", "", "nothing"),
            (None, &default, "", "AKIA1 s3cret"),
            (Some("default"), &default, "", "AKIA1 s3cret"),
            (None, &default.replace('\n', "\r\n"), "", "AKIA1 s3cret"),
            (None, "[default]\nAWS_Access_Key_Id=AKIA1\n\n# c\n; d\naws_secret_access_key\t=\ta=b#c;d== \n", "", "AKIA1 a=b#c;d=="),
            (None, "[default]\naws_access_key_id = AKIA1 # one\naws_secret_access_key = s3cret\t; two", "", "AKIA1 s3cret"),
            (None, "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s\naws_session_token = t3ken==", "", "AKIA1 s t3ken=="),
            (Some("work"), &format!("{default}\n[ work ] # c\naws_access_key_id = A2\n[other]\na=b\n[work]\naws_secret_access_key = s2"), "", "A2 s2"),
            (Some("work"), "", &config("profile work"), "AKIA1 s3cret"),
            (Some("work"), "", &config("\tprofile  work "), "AKIA1 s3cret"),
            (None, "", &config("default"), "AKIA1 s3cret"),
            (None, "", &format!("{}\n[profile default]\naws_access_key_id = A2\naws_secret_access_key = s2", config("default")), "A2 s2"),
            // In the credentials file the word "profile" is part of a name, and in the config file nothing goes without it.
            (None, &config("profile default"), "", "nothing"),
            (None, "[default]\naws_access_key_id = first\naws_access_key_id = A2", "[default]\naws_access_key_id = no\naws_secret_access_key = s2", "A2 s2"),
            (None, "", "[default]\nrole_arn = r\nweb_identity_token_file = /t", "r /t tollgate"),
            (None, &default, "[default]\nrole_arn = r\nweb_identity_token_file = /t\nrole_session_name = me", "r /t me"),
            (None, "", &format!("[default]\ns3 =\n  aws_access_key_id = no\n\tmax = 10\n{KEYS}"), "AKIA1 s3cret"),
            (None, &default, "[sso-session x]\nsso_start_url = u\n[default]\nregion = y", "AKIA1 s3cret"),
            (None, &default, "[profile work]\ncredential_process = p", "AKIA1 s3cret"),
        ];
        for (profile, credentials, config, expected) in rows {
            assert_eq!(
                read(profile, credentials, config).as_deref(),
                Ok(expected),
                "{credentials}\n--\n{config}"
            );
        }
        assert!(matches!(files(None).read(None, None), Ok(None)));
    }

    #[test]
    fn what_is_malformed_or_not_looked_up_is_named_and_not_shown() {
        let place = "the profile \"default\" of \"/h/.aws/credentials\" and \"/h/.aws/config\"";
        let not_looked_up =
            |key: &str| format!("{place} has {key:?}, which is not looked up; give it keys or");
        #[rustfmt::skip]
        let rows: [(Option<&str>, &str, &str, String); 14] = [
            (None, "[default]\n\ns3cret", "", "/h/.aws/credentials:3: neither a section nor a setting; write [name]".into()),
            (None, "aws_secret_access_key = s3cret", "", "/h/.aws/credentials:1: a setting before any section".into()),
            (None, " aws_secret_access_key = s3cret", "", "/h/.aws/credentials:1: a setting before any section".into()),
            (None, "", "[default]\n= s3cret", "/h/.aws/config:2: a setting without a name".into()),
            (None, "", "[default\nx = s3cret", "/h/.aws/config:1: a section without its \"]\"".into()),
            (None, "", "[default] s3cret", "/h/.aws/config:1: something else behind the \"]\" of a section".into()),
            (None, "[default]\naws_access_key_id = AKIA1", "", format!("{place} has no \"aws_secret_access_key\", but")),
            (None, "[default]\naws_access_key_id = AKIA1\naws_secret_access_key =\n  s3cret", "", format!("{place} has no \"aws_secret")),
            (None, "[default]\naws_access_key_id = s3cret!\naws_secret_access_key = x", "", format!("the \"aws_access_key_id\" of {place} cannot")),
            (None, "", "[default]\nsso_session = x", not_looked_up("sso_session")),
            (None, "", "[default]\ncredential_process = s3cret", not_looked_up("credential_process")),
            (None, "[default]\nrole_arn = r\nsource_profile = x", "", not_looked_up("role_arn")),
            (None, "[default]\nrole_arn = r\nweb_identity_token_file = /t\nrole_session_name = a b", "", format!("the name that {place} has for the session")),
            (Some("other"), "[default]\nx = y", "", "the profile \"other\" of \"/h/.aws/credentials\" and \"/h/.aws/config\" has no credentials; correct AWS_PROFILE".into()),
        ];
        for (profile, credentials, config, expected) in rows {
            let fault = read(profile, credentials, config).expect_err(&expected);
            assert!(fault.starts_with(&expected) && !fault.contains("s3cret"), "{fault}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_does_harm(credentials in "[\\[\\]a=#; \n\té]{0,40}", config in "\\PC{0,40}") {
            let _ = read(None, &credentials, &config);
        }
    }
}
