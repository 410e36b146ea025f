package codec

import "fmt"

// marshalCustom and unmarshalCustom call a foreign codec: its panic is an error of this
// value, not the end of the process.

func marshalCustom(c Codec, v any) (data []byte, err error) {
	defer recoverTo(&err)
	return c.Marshal(v)
}

func unmarshalCustom(c Codec, data []byte, v any) (err error) {
	defer recoverTo(&err)
	return c.Unmarshal(data, v)
}

func recoverTo(err *error) {
	switch r := recover().(type) {
	case nil:
	case error:
		*err = fmt.Errorf("panic: %w", r)
	default:
		*err = fmt.Errorf("panic: %v", r)
	}
}
