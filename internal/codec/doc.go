// Package codec turns Go values into bytes that another process, started from the
// same binary, turns back into equal values. How is decided once per type, by [For]; a
// type whose values would not come back exactly is refused there, with the path of
// the field and the reason.
//
// # Plans
//
// The first of these that fits is used:
//
//  1. The caller's own [Codec], for any type.
//  2. Plain: no pointers anywhere. The bytes of the value, one copy each way, no
//     allocation. Unexported fields and padding are copied with the rest.
//  3. Flat: a string, a slice of plain values, or a struct of exported fields, each
//     plain, a string, a slice of plain values or again such a struct. Each field is copied
//     once, straight between the value and the destination. Handles, below, are flat too.
//  4. CBOR (RFC 8949), by github.com/fxamacker/cbor/v2: maps, pointers, slices of slices, types
//     with MarshalCBOR and UnmarshalCBOR or MarshalBinary and UnmarshalBinary,
//     [time.Time] and [math/big.Int].
//
// # By reference
//
// Where both processes see the same memory, which [Giver] and [Taker] stand for, some of a value
// need not be copied. A slice of plain values in a flat plan is lent, if it lies in that
// memory: the slice on the other side refers to the same elements. A handle is a pointer
// of a type that [Refers] names: it crosses as a number, as a value of its own or as
// a field of a struct, at any depth of structs. A handle anywhere else is refused: in a slice,
// an array or a map, behind another pointer, or as an embedded pointer. A struct with handles
// is flat as a whole: those of its fields that would not be cross as CBOR, each by itself.
// As in all flat plans fields have to be exported, and their tags do not matter.
//
// # Guarantees
//
// Equal means: the same numbers bit for bit (NaN payloads and negative zeros
// included), the same string bytes (valid UTF-8 or not), nil slices, maps and pointers nil,
// empty ones empty. What cannot be kept is an error before anything is sent: either from For,
// when the type shows it, or from [Plan.Prepare], when only the value does:
//
//   - values nested deeper than [MaxDepth], which includes cyclic ones,
//   - a time.Time outside the years 0 to 9999, or whose zone is not a whole
//     number of minutes or is off by a day or more, or the zero time in a zone other than UTC,
//     or a pointer to the zero time,
//   - a signalling NaN of type float32. (These three concern CBOR only.)
//
// [Plan.Decode] trusts no byte: whatever the bytes are, it returns a value of the type or
// an error, reads nothing outside of them and allocates memory for no more elements
// than they can hold. Without views, the bytes may even change while it reads them. Numbers
// of handles and of lent slices it leaves to the Taker to judge, but takes no handle of another
// type and no bytes that do not hold the elements.
//
// A Plan may be used by any number of goroutines at once. Panics of a Codec or
// of a marshalling method come back as errors.
//
// # Caveats
//
//   - Pointers and slices that share memory come back as copies of their own, unless they
//     are handles or lent, and a slice's capacity is its length. A value in which many
//     pointers share is written once per path that leads to it.
//   - time.Time keeps its instant to the nanosecond and its offset from UTC. The name
//     of its location and its monotonic clock reading are left behind.
//   - Types with a pair of marshalling methods are taken at their word, also about
//     pointers to them: what they write as CBOR null comes back as a nil pointer.
//   - A type's own String, text or JSON methods are not used. CBOR plans honour names given
//     in `cbor` tags, or `json` tags where there is no other.
//   - Elements that were lent are used by both sides at once. A slice is not lent if its
//     elements have bools, nor within a field that crosses as CBOR.
//   - When an encoding or decoding fails, handles that were given or taken, and slices that were
//     lent or borrowed, stay so: their Giver knows which.
//   - A value with handles is copied to the heap on its way, as one with a CBOR plan is.
//   - Numbers that mean something in one process only, such as a file descriptor or a
//     uintptr made from a pointer, are numbers to this package.
package codec
