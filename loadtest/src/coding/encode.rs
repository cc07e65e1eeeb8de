//! The encoders: libraries, with the frame of gzip around one of them.

use super::Coding;
use crc32fast::Hasher;
use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::{MZFlush, MZStatus};
use std::io::Write;
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer};

/// A level at which all of them are quick and still do what they can.
const LEVEL: u8 = 5;

/// Encodes a body with `codings`, in this order. Piece by piece what was encoded is flushed, so that whoever has the
/// first coded pieces can decode the first pieces; the last one has the end too.
pub fn encode(codings: &[Coding], pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let plain = pieces.iter().map(|piece| piece.to_vec()).collect();
    codings.iter().fold(plain, |pieces: Vec<Vec<u8>>, coding| match coding {
        Coding::Gzip => gzip(&pieces),
        Coding::Deflate => deflated(&pieces, ZLIB_WINDOW_BITS),
        Coding::BareDeflate => deflated(&pieces, -ZLIB_WINDOW_BITS),
        Coding::Brotli => brotli(&pieces),
        Coding::Zstd => zstd(&pieces),
        Coding::Flip => pieces.iter().map(|piece| piece.iter().map(|byte| !byte).collect()).collect(),
    })
}

/// Negative it means no frame.
const ZLIB_WINDOW_BITS: i32 = 15;

fn gzip(pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut coded = deflated(pieces, -ZLIB_WINDOW_BITS);
    let mut checksum = Hasher::new();
    pieces.iter().for_each(|piece| checksum.update(piece));
    let length = pieces.iter().map(Vec::len).sum::<usize>() as u32;
    if let Some(first) = coded.first_mut() {
        first.splice(..0, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]); // no name, no time, no system
    }
    if let Some(last) = coded.last_mut() {
        last.extend(checksum.finalize().to_le_bytes());
        last.extend(length.to_le_bytes());
    }
    coded
}

fn deflated(pieces: &[Vec<u8>], window_bits: i32) -> Vec<Vec<u8>> {
    let flags = create_comp_flags_from_zip_params(LEVEL.into(), window_bits, 0);
    let mut compressor = CompressorOxide::new(flags);
    let mut step = |mut input: &[u8], flush| {
        let (mut out, mut room) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            let result = deflate(&mut compressor, input, &mut room, flush);
            input = &input[result.bytes_consumed..];
            out.extend_from_slice(&room[..result.bytes_written]);
            let is_done = input.is_empty() && result.bytes_written < room.len();
            if is_done || !matches!(result.status, Ok(MZStatus::Ok)) {
                return out;
            }
        }
    };
    let mut coded: Vec<Vec<u8>> = pieces.iter().map(|piece| step(piece, MZFlush::Sync)).collect();
    if let Some(last) = coded.last_mut() {
        last.extend(step(b"", MZFlush::Finish));
    }
    coded
}

fn brotli(pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 64 << 10, LEVEL.into(), 22);
    let mut coded = Vec::new();
    for piece in pieces {
        // Writing to a Vec does not fail.
        let _ = writer.write_all(piece).and_then(|()| writer.flush());
        coded.push(std::mem::take(writer.get_mut()));
    }
    if let Some(last) = coded.last_mut() {
        last.append(&mut writer.into_inner());
    }
    coded
}

fn zstd(pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut context = CCtx::create();
    // Neither fails: the level is one that there is, and a checksum is a matter of yes or no.
    let _ = context.set_parameter(CParameter::CompressionLevel(LEVEL.into()));
    let _ = context.set_parameter(CParameter::ChecksumFlag(true));
    let mut step = |input: &[u8], directive| {
        let (mut out, mut room) = (Vec::new(), vec![0; 64 << 10]);
        let mut source = InBuffer::around(input);
        loop {
            let mut target = OutBuffer::around(room.as_mut_slice());
            let left = context.compress_stream2(&mut target, &mut source, directive);
            out.extend_from_slice(target.as_slice());
            if !matches!(left, Ok(1..)) {
                return out;
            }
        }
    };
    let mut coded: Vec<Vec<u8>> =
        pieces.iter().map(|piece| step(piece, ZSTD_EndDirective::ZSTD_e_flush)).collect();
    if let Some(last) = coded.last_mut() {
        last.extend(step(b"", ZSTD_EndDirective::ZSTD_e_end));
    }
    coded
}
