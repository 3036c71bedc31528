//! The live view: one screen, layer by layer, redrawn a few times a second.
//!
//! It owns the terminal while it lives and gives it back when it is dropped; a panic, of whatever
//! thread, gives it back first, so that its message can be read.

mod picture;

use std::io;
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;
use ratatui::backend::{Backend as _, ClearType};

use super::display::Picture;
use super::table::TableWatch;

/// The screen.
pub(super) struct View {
    terminal: DefaultTerminal,
    tables: TableWatch,
}

impl View {
    /// Takes the terminal.
    pub(super) fn begin(tables: TableWatch) -> io::Result<Self> {
        let mut terminal = ratatui::try_init()?;
        // A process that was killed may have left its picture there. `Terminal::clear` would ask where
        // the cursor is, which a terminal that nobody sits at does not answer.
        terminal.backend_mut().clear_region(ClearType::All)?;
        Ok(Self { terminal, tables })
    }

    /// Whether `q` or Ctrl-C was pressed since the last call. A terminal that no keys can be read
    /// from has none; signals still stop the demo.
    pub(super) fn wants_stop(&mut self) -> bool {
        let mut stop = false;
        while event::poll(Duration::ZERO).unwrap_or(false) {
            match event::read() {
                Ok(Event::Key(key)) => stop |= is_stop(key),
                Ok(_) => {}
                Err(_no_keys) => break,
            }
        }
        stop
    }

    /// Draws one picture.
    pub(super) fn show(&mut self, picture: &Picture<'_>) -> io::Result<()> {
        let tables = self.tables.shown();
        self.terminal.draw(|frame| picture::draw(frame, picture, &tables)).map(|_drawn| ())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn is_stop(key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let stop = match key.code {
        KeyCode::Char('c') => control,
        KeyCode::Char('q') | KeyCode::Esc => true,
        _ => false,
    };
    stop && key.kind == KeyEventKind::Press
}
