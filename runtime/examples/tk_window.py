"""A window that shows the avatar of what is typed: python tk_window.py."""

import tkinter as tk

from PIL import ImageTk

from avatar_runtime import AvatarGenerator


class Window(tk.Tk):
    """A name above its face."""

    def __init__(self) -> None:
        super().__init__()
        self.title("avatar-edge")
        self.generator = AvatarGenerator.load()
        self.name = tk.StringVar(value="alice")
        self.face = tk.Label(self)
        tk.Entry(self, textvariable=self.name).pack()
        self.face.pack()
        self.name.trace_add("write", lambda *_: self.show())
        self.show()

    def show(self) -> None:
        """Draw the name; one avatar takes a millisecond or two, so each letter typed can show its own."""
        [image] = self.generator.images([self.name.get()])
        self.photo = ImageTk.PhotoImage(image.resize((256, 256)), master=self)  # Tk keeps no reference itself
        self.face["image"] = self.photo


if __name__ == "__main__":
    Window().mainloop()
