package codec

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"github.com/fxamacker/cbor/v2"
)

// MaxDepth is how deep arrays, slices, maps and structs may nest in a value with a CBOR
// plan. Encoder and decoder work recursively: it bounds their stacks.
const MaxDepth = 10_000

// What comes from outside may nest twice as deep, so that what marshalling methods add
// fits in.
const maxDecodeDepth = 2 * MaxDepth

var encMode, decMode = mustModes()

// mustModes sets whatever a value must not lose; the zero values of all other options
// are exact.
func mustModes() (cbor.UserBufferEncMode, cbor.DecMode) {
	enc, err := cbor.EncOptions{
		NaNConvert:    cbor.NaNConvertNone,       // keep payloads
		InfConvert:    cbor.InfConvertNone,       // like all other floats
		Time:          cbor.TimeRFC3339Nano,      // the default keeps whole seconds
		NilContainers: cbor.NilContainerAsNull,   // nil is not empty
		ByteArray:     cbor.ByteArrayToByteSlice, // exact either way; half the bytes
		IndefLength:   cbor.IndefLengthForbidden,
	}.UserBufferEncMode()
	if err != nil {
		panic(fmt.Sprintf("codec: encoder options: %v", err))
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   maxDecodeDepth,
		MaxArrayElements:  math.MaxInt32,
		MaxMapPairs:       math.MaxInt32,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8DecodeInvalid, // Go strings are any bytes
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
	}.DecMode()
	if err != nil {
		panic(fmt.Sprintf("codec: decoder options: %v", err))
	}
	return enc, dec
}

// marshalCBOR encodes *v, v being a pointer to it: at the start of buf if it fits, else in
// memory of its own. What buf holds is undefined if it does not fit, and after an error.
func marshalCBOR(v any, buf []byte) (data []byte, err error) {
	defer recoverTo(&err)
	if len(buf) == 0 {
		return encMode.Marshal(v)
	}
	// The encoder appends to what the buffer has left: no byte is copied into buf.
	b := bytes.NewBuffer(buf[:0:len(buf)])
	if err = encMode.MarshalToBuffer(v, b); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func unmarshalCBOR(data []byte, v any) (err error) {
	defer recoverTo(&err)
	err = decMode.Unmarshal(data, v)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // nobody above is at the end of anything
	}
	return err
}
