package layout

import "fmt"

// KindOf returns what the structure at the start of mem is, of which [HeaderSize] bytes are enough. The error is as with [Check]. It does not say that
// the rest is as it should be.
func KindOf(mem []byte) (Kind, error) {
	kind, _, _, err := HeaderOf(mem)
	return kind, err
}

// HeaderOf is [KindOf] with the other words of the header: how many bytes the structure says that it has, and its parameters.
func HeaderOf(mem []byte) (kind Kind, size uint64, params [5]uint64, err error) {
	h, err := At[Header](mem, 0)
	if err != nil {
		return 0, 0, params, err
	}
	if magic := h.magic.Load(); magic != Magic {
		return 0, 0, params, fmt.Errorf("magic %#x: %w", magic, ErrNotShmkit)
	}
	if ver := h.ver; ver != Version {
		return 0, 0, params, fmt.Errorf("version %d, this program has %d: %w", ver, Version, ErrVersion)
	}
	return h.kind, h.size, h.params, nil
}
