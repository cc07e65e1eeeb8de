//! Unix sockets that listen: opened for this user alone, and in place of files that a process left behind.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Opens a socket at `path` that only this user may connect to. A file there is removed only if it is a socket on
/// which nobody listens: it was left behind.
///
/// # Errors
/// `AddrInUse` when somebody listens there; `AlreadyExists` when the file is no socket; and as the system says.
pub fn open(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"));
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(io::Error::new(ErrorKind::AddrInUse, "another process listens there")),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    open_in_place(path)
}

/// Opens a socket at `path` that only this user may connect to, in place of whatever socket is there: connections of the
/// other one stay its own. At every moment one of the two is found there.
///
/// # Errors
/// As the system says.
pub fn open_in_place(path: &Path) -> io::Result<UnixListener> {
    let draft = draft(path)?;
    let _ = fs::remove_file(&draft);
    let listener = UnixListener::bind(&draft)?;
    let placed = fs::set_permissions(&draft, fs::Permissions::from_mode(0o600))
        .and_then(|()| fs::rename(&draft, path))
        .and_then(|()| listener.set_nonblocking(true));
    match placed {
        Ok(()) => Ok(listener),
        Err(error) => {
            let _ = fs::remove_file(&draft);
            Err(error)
        }
    }
}

/// Removes the file of a socket that was opened here.
pub fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

fn draft(path: &Path) -> io::Result<PathBuf> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "this is no path of a file"));
    };
    let mut draft = std::ffi::OsString::from(".");
    draft.push(name);
    draft.push(format!(".{}", std::process::id()));
    Ok(path.with_file_name(draft))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_left_behind_is_replaced() {
        let folder = std::env::temp_dir().join(format!("tollgate-unix-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.sock");
        let first = open(&path).expect("a new one");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(open(&path).expect_err("it is taken").kind(), ErrorKind::AddrInUse);
        assert!(first.accept().is_ok(), "it was asked whether it listens");
        let second = open_in_place(&path).expect("in its place");
        UnixStream::connect(&path).unwrap();
        assert!(second.accept().is_ok() && first.accept().is_err());
        drop((first, second));
        drop(open(&path).expect("it was left behind"));
        let file = folder.join("a.txt");
        fs::write(&file, "kept").unwrap();
        assert_eq!(open(&file).expect_err("no socket").kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&file).unwrap(), b"kept");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "no draft stays");
        fs::remove_dir_all(&folder).unwrap();
    }
}
