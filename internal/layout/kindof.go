package layout

import "fmt"

// KindOf returns what the structure at the start of mem is, of which [HeaderSize] bytes are enough. The error is as with [Check]. It does not say that
// the rest is as it should be.
func KindOf(mem []byte) (Kind, error) {
	h, err := At[Header](mem, 0)
	if err != nil {
		return 0, err
	}
	if magic := h.magic.Load(); magic != Magic {
		return 0, fmt.Errorf("magic %#x: %w", magic, ErrNotShmkit)
	}
	if ver := h.ver; ver != Version {
		return 0, fmt.Errorf("version %d, this program has %d: %w", ver, Version, ErrVersion)
	}
	return h.kind, nil
}
