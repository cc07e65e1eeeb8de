//! `deploy/`: what its units and its page name exists, and the units are sound to systemd where there is one.

#![allow(clippy::print_stdout)] // what is left out is told

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use tollgate::app::cli::{self, Options};
use tollgate::app::files;
use tollgate::config::AdminAddress;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The values of a unit file by `Section.Key`, in their order.
fn unit(name: &str) -> BTreeMap<String, Vec<String>> {
    let (mut section, mut values) = (String::new(), BTreeMap::<String, Vec<String>>::new());
    for line in read(name).lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match (line.strip_prefix('[').and_then(|line| line.strip_suffix(']')), line.split_once('=')) {
            (Some(name), _) => section = name.to_owned(),
            (_, Some((key, value))) => {
                assert!(
                    !section.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric()),
                    "{name}: {line}"
                );
                values.entry(format!("{section}.{key}")).or_default().push(value.to_owned());
            }
            _ => panic!("{name}: {line}"),
        }
    }
    values
}

fn parsed(line: &str) -> Result<cli::Command, String> {
    cli::parse(line.split_whitespace().skip(1).map(OsString::from))
}

#[test]
fn the_units_start_what_there_is_with_what_the_settings_expect() {
    let (service, socket) = (unit("tollgate.service"), unit("tollgate.socket"));
    let one = |key: &str| match service.get(key).map(Vec::as_slice) {
        Some([value]) => value.clone(),
        other => panic!("{key}: {other:?}"),
    };
    let Ok(cli::Command::Run(run)) = parsed(&one("Service.ExecStart")) else { panic!("a run") };
    assert_eq!(run.paths, [Path::new("/etc/tollgate")]);
    assert!(
        matches!(parsed(&one("Service.ExecStartPre")), Ok(cli::Command::Check(options, None)) if options.paths == run.paths)
    );
    assert_eq!((one("Service.Type"), one("Service.NotifyAccess")), ("notify".to_owned(), "all".to_owned()));
    assert!(one("Service.ExecReload").contains("-HUP"));
    assert_eq!(one("Service.RestartPreventExitStatus"), tollgate::app::EXIT_UNUSABLE.to_string());
    let filters = service["Service.SystemCallFilter"].join(" ");
    for call in ["@system-service", "io_uring_setup", "io_uring_enter", "io_uring_register"] {
        assert!(filters.split(' ').any(|filter| filter == call), "{filters}");
    }
    assert_eq!(service["Service.CapabilityBoundingSet"], [""], "sockets are opened by the other unit");
    assert_eq!(socket["Socket.Service"], ["tollgate.service"]);

    let gateway = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: llm}\nspec:\n  \
                   gatewayClassName: agentgateway\n  listeners: [{name: http, protocol: HTTP, port: 8080}]\n";
    let texts = [("gateway.yaml", gateway), ("settings.yaml", &read("settings.yaml"))];
    let snapshot = files::compile(&texts, &Options::default(), &|_| None);
    let snapshot = snapshot.unwrap_or_else(|faults| panic!("{faults}"));
    let listeners: Vec<String> =
        snapshot.listeners.iter().map(|listener| listener.bind.to_string()).collect();
    assert_eq!(socket["Socket.ListenStream"], listeners, "as check prints them");
    let settings = &snapshot.settings;
    let runtime = format!("/run/{}/", one("Service.RuntimeDirectory"));
    let state = format!("/var/lib/{}/", one("Service.StateDirectory"));
    assert!(settings.upgrade.socket.as_deref().is_some_and(|path| path.starts_with(&runtime)));
    assert!(matches!(&settings.admin.address, Some(AdminAddress::Unix(path)) if path.starts_with(&runtime)));
    assert!(settings.limits.store.as_deref().is_some_and(|path| path.starts_with(&state)));
    let patience: u64 = one("Service.TimeoutStopSec").parse().expect("seconds");
    assert!(patience > settings.timeouts.drain.as_secs() + 5);
}

#[test]
fn the_page_says_what_works() {
    let page = read("README.md");
    let service = unit("tollgate.service");
    for path in
        ["/usr/local/bin/tollgate", "/etc/tollgate", "/run/tollgate/upgrade.sock", "/run/tollgate/admin.sock"]
    {
        assert!(page.contains(path), "{path}");
    }
    assert!(service["Service.ExecStart"][0].starts_with("/usr/local/bin/tollgate "));
    let code = page.split("```").skip(1).step_by(2).flat_map(str::lines);
    let inline = page.split('`').skip(1).step_by(2);
    let commands =
        code.chain(inline).filter(|line| line.starts_with("tollgate ") && line.split(' ').count() > 2);
    let mut count = 0;
    for line in commands.filter(|line| !line.contains(".service")) {
        assert!(parsed(line).is_ok(), "{line}: {:?}", parsed(line).err());
        count += 1;
    }
    assert!(count >= 2, "{count}");
    let words = page.split('`').filter(|code| !code.contains(char::is_whitespace));
    for key in words.filter_map(|code| code.split_once('=')).map(|(key, _)| key) {
        let known =
            service.keys().chain(unit("tollgate.socket").keys()).any(|it| it.ends_with(&format!(".{key}")));
        assert!(known || key == "NAME", "{key}= is in no unit");
    }
}

#[test]
fn systemd_finds_nothing_wrong_where_there_is_one() {
    let units = ["tollgate.service", "tollgate.socket"];
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        return println!("left out: this machine has no systemd-analyze");
    };
    let here = Path::new(env!("CARGO_TARGET_TMPDIR")).join("units");
    fs::create_dir_all(&here).expect("a folder");
    for name in units {
        // The program and its user are not installed here: another program and user stand in for them.
        let text = read(name)
            .replace("/usr/local/bin/tollgate", "/bin/true")
            .replace("=tollgate\nGroup=tollgate", "=root");
        fs::write(here.join(name), text).expect("a file");
    }
    let verify =
        Command::new("systemd-analyze").arg("verify").args(units.map(|name| here.join(name))).output();
    let verify = verify.expect("it runs");
    let said = String::from_utf8_lossy(&verify.stderr);
    let of_ours: Vec<&str> = said.lines().filter(|line| line.contains("tollgate.s")).collect();
    assert!(of_ours.is_empty(), "{}\n{said}", String::from_utf8_lossy(&version.stdout));
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=25"])
        .arg(here.join(units[0]))
        .output();
    let security = security.expect("it runs");
    let said =
        String::from_utf8_lossy(&security.stdout).into_owned() + &String::from_utf8_lossy(&security.stderr);
    match said.contains("unrecognized option") {
        true => println!("left out: this systemd-analyze does not judge files"),
        false => assert!(security.status.success(), "exposure above 2.5\n{said}"),
    }
}
