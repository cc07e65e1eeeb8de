use super::*;

fn files(profile: Option<&str>) -> ProfileFiles {
    let env = |name: &str| match name {
        "HOME" => Some("/h".to_owned()),
        "AWS_PROFILE" => profile.map(str::to_owned),
        _ => None,
    };
    ProfileFiles::from_env(&env).expect("a home")
}

/// What the texts lead to, in words.
fn read(profile: Option<&str>, credentials: &str, config: &str) -> Result<String, String> {
    let plan = files(profile).read(Some(credentials), Some(config)).map_err(|fault| fault.to_string())?;
    let Some(Plan { base, roles }) = plan else { return Ok("nothing".to_owned()) };
    let base = match base {
        Base::Keys(keys) => {
            let text = |secret: &crate::base::Secret| String::from_utf8_lossy(secret.expose()).into_owned();
            let token = keys.session_token().map(text).unwrap_or_default();
            format!("{} {} {token}", keys.access_key(), text(keys.secret_key())).trim_end().to_owned()
        }
        Base::WebIdentity(identity) => {
            format!("{} {} {}", identity.role, identity.token_file, identity.session)
        }
        other => format!("{other:?}"),
    };
    let role = |role: &Role| {
        let id = role.external_id.as_deref().unwrap_or("-");
        format!(" -> {} {} {id} {}", role.arn, role.session, role.duration_s)
    };
    Ok(base + &roles.iter().map(role).collect::<String>())
}

const TWO: &str = "aws_access_key_id = AKIA1\naws_secret_access_key = s3cret\n";

#[test]
fn files_are_where_the_environment_says() {
    let found = |variables: &[(&str, &str)]| {
        let env = |name: &str| Some(variables.iter().find(|(key, _)| *key == name)?.1.to_owned());
        ProfileFiles::from_env(&env)
            .map(|files| (files.credentials, files.config, files.profile, files.is_named))
    };
    let owned = |a: &str, b: &str, c: &str, named| Some((a.to_owned(), b.to_owned(), c.to_owned(), named));
    assert_eq!(found(&[]), None);
    assert_eq!(found(&[("HOME", "/h")]), owned("/h/.aws/credentials", "/h/.aws/config", "default", false));
    let named = [("HOME", "/h"), ("AWS_PROFILE", "p"), ("AWS_CONFIG_FILE", "~/c~")];
    assert_eq!(found(&named), owned("/h/.aws/credentials", "/h/c~", "p", true));
    assert_eq!(found(&[("AWS_SHARED_CREDENTIALS_FILE", "/k")]), owned("/k", "", "default", false));
}

#[test]
fn profiles_are_read_as_the_cli_reads_them() {
    let default = format!("[default]\n{TWO}");
    let config = |heading: &str| format!("[{heading}]\n{TWO}");
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
        (None, "", &format!("[default]\ns3 =\n  aws_access_key_id = no\n\tmax = 10\n{TWO}"), "AKIA1 s3cret"),
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
fn roles_are_assumed_one_after_another() {
    let base = "[base]\naws_access_key_id = AKIA1\naws_secret_access_key = s\n";
    #[rustfmt::skip]
    let rows: [(&str, &str, &str); 9] = [
        (base, "[default]\nrole_arn = r\nsource_profile = base", "AKIA1 s -> r tollgate - 3600"),
        (base, "[default]\nrole_arn = r\nsource_profile = base\nrole_session_name = me\nexternal_id = x:/1\nduration_seconds = 900",
            "AKIA1 s -> r me x:/1 900"),
        (base, "[default]\nrole_arn = r2\nsource_profile = mid\n[profile mid]\nrole_arn = r1\nsource_profile = base",
            "AKIA1 s -> r1 tollgate - 3600 -> r2 tollgate - 3600"),
        // Keys of a source go before its role; those of the profile that is meant do not.
        (&format!("{base}[mid]\naws_access_key_id = A2\naws_secret_access_key = s2"),
            "[default]\nrole_arn = r2\nsource_profile = mid\n[profile mid]\nrole_arn = r1\nsource_profile = base",
            "A2 s2 -> r2 tollgate - 3600"),
        ("[default]\naws_access_key_id = A2\naws_secret_access_key = s2", "[default]\nrole_arn = r\nsource_profile = default", "A2 s2 -> r tollgate - 3600"),
        ("", "[default]\nrole_arn = r2\nsource_profile = pod\n[profile pod]\nrole_arn = r1\nweb_identity_token_file = /t",
            "r1 /t tollgate -> r2 tollgate - 3600"),
        ("", "[default]\nrole_arn = r\ncredential_source = Environment", "Environment -> r tollgate - 3600"),
        ("", "[default]\nrole_arn = r\ncredential_source = EcsContainer", "Container -> r tollgate - 3600"),
        ("", "[default]\nrole_arn = r\ncredential_source = Ec2InstanceMetadata", "Instance -> r tollgate - 3600"),
    ];
    for (credentials, config, expected) in rows {
        assert_eq!(read(None, credentials, config).as_deref(), Ok(expected), "{credentials}\n--\n{config}");
    }
}

#[test]
fn what_is_malformed_or_not_looked_up_is_named_and_not_shown() {
    let place = "the profile \"default\" of \"/h/.aws/credentials\" and \"/h/.aws/config\"";
    let not_looked_up = |key: &str| format!("{place} has {key:?}, which is not looked up; give it keys, or");
    #[rustfmt::skip]
    let rows: [(Option<&str>, &str, &str, String); 25] = [
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
        (None, "", "[default]\nsso_start_url = https://s3cret", not_looked_up("sso_start_url")),
        (None, "", "[default]\nlogin_session = s3cret", not_looked_up("login_session")),
        (None, "", "[default]\nrole_arn = r\nsource_profile = x\n[profile x]\nsso_session = y", "the profile \"x\" of \"/h/.aws/credentials\" and \"/h/.aws/config\" has \"sso_session\", which is not".into()),
        (None, "[default]\nrole_arn = r\nsource_profile = x", "", "the profile \"x\" of \"/h/.aws/credentials\" and \"/h/.aws/config\" has no credentials; give it keys, for".into()),
        (None, "[default]\nrole_arn = r\nsource_profile = default", "", format!("{place} is its own source_profile and has no keys; give")),
        (None, "[default]\nrole_arn = r\nsource_profile = x\n[x]\nrole_arn = r\nsource_profile = default", "", "the profiles default, x come to no end by source_profile; have the last".into()),
        (None, "[default]\nrole_arn = r", "", format!("{place} has \"role_arn\" and nothing to assume it with; write one of web_identity_token_file, source_profile")),
        (None, "[default]\nrole_arn = r\nsource_profile = x\ncredential_source = Environment", "", format!("{place} has more than one thing to assume")),
        (None, "[default]\nrole_arn = r\ncredential_source = s3cret", "", format!("{place} has a \"credential_source\" that is none; write Environment")),
        (None, "[default]\nrole_arn = r\nsource_profile = x\nmfa_serial = s3cret", "", format!("{place} has \"mfa_serial\", and nobody is here to type a code; use")),
        (None, "[default]\nrole_arn = r\nsource_profile = x\nduration_seconds = 899", "", format!("{place} has a \"duration_seconds\" that cannot be; write 900 to 43200")),
        (None, "[default]\nrole_arn = r\nsource_profile = x\nexternal_id = s3cret s3cret", "", format!("{place} has an \"external_id\" that cannot be one; write 2 to")),
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
