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
    check_free(path)?;
    open_in_place(path)
}

/// Whether a socket may be opened at `path`: nothing is there, or a socket on which nobody listens.
///
/// # Errors
/// As [`open`] says.
pub fn check_free(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => {
            Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"))
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another process listens there")),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a socket at `path` that only this user may connect to, in place of whatever socket is there: connections of the
/// other one stay its own. At every moment one of the two is found there.
///
/// # Errors
/// As the system says.
pub fn open_in_place(path: &Path) -> io::Result<UnixListener> {
    Draft::beside(path)?.place()
}

/// A socket that listens for this user alone, and does not block, beside the path at which it is to be found later. Its
/// file goes when it is dropped.
pub struct Draft {
    listener: Option<UnixListener>,
    file: PathBuf,
    path: PathBuf,
}

impl Draft {
    /// One for `path`.
    ///
    /// # Errors
    /// As the system says.
    pub fn beside(path: &Path) -> io::Result<Draft> {
        let file = draft(path)?;
        let _ = fs::remove_file(&file);
        let listener = UnixListener::bind(&file)?;
        let draft = Draft { listener: Some(listener), file, path: path.to_owned() };
        fs::set_permissions(&draft.file, fs::Permissions::from_mode(0o600))?;
        draft.listener.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
        Ok(draft)
    }

    /// Where it is to be found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it at its path, in place of whatever socket is there.
    ///
    /// # Errors
    /// As the system says.
    pub fn place(mut self) -> io::Result<UnixListener> {
        fs::rename(&self.file, &self.path)?;
        self.listener.take().ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.listener.take().is_some() {
            let _ = fs::remove_file(&self.file);
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
        let third = Draft::beside(&path).expect("a draft");
        UnixStream::connect(&path).unwrap();
        assert!(second.accept().is_ok(), "it is not there yet");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        drop(third);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nor its file any more");
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
