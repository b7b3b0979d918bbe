//! What the fake camera films.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::artifact;

/// Width and height: two cores can encode, send and show it many times over.
const SIZE: (usize, usize) = (160, 90);
/// Pictures a second, of the camera and of a shared screen.
pub const RATE: usize = 10;
/// After these the film begins again.
const PICTURES: usize = 20;

/// A film for `--use-file-for-fake-video-capture`: a bar that moves over colours.
pub fn film() -> PathBuf {
    static FILM: OnceLock<PathBuf> = OnceLock::new();
    FILM.get_or_init(|| {
        let (width, height) = SIZE;
        let mut film = format!("YUV4MPEG2 W{width} H{height} F{RATE}:1 Ip A1:1\n").into_bytes();
        for picture in 0..PICTURES {
            film.extend(b"FRAME\n");
            let bar = picture * width / PICTURES;
            let is_bar = |x: usize| (bar..bar + width / 10).contains(&x);
            film.extend(
                (0..height).flat_map(|y| (0..width).map(move |x| if is_bar(x) { 235 } else { 40 + (x + y) as u8 / 2 })),
            );
            // Blue and red, for four pixels each.
            let (columns, rows) = (width / 2, height / 2);
            film.extend((0..rows).flat_map(|_| (0..columns).map(|x| (40 + 2 * x) as u8)));
            film.extend((0..rows).flat_map(|y| (0..columns).map(move |_| (200 - 3 * y) as u8)));
        }
        // Another process of the same test may read it.
        let (file, draft) = (artifact("camera.y4m"), artifact(&format!("camera-{}.y4m", std::process::id())));
        fs::write(&draft, film).unwrap();
        fs::rename(draft, &file).unwrap();
        file
    })
    .clone()
}
