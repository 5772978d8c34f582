package events

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// A small JSON scanner, used instead of encoding/json because a report is
// read on the hot path, names must match exactly, numbers must keep their
// digits, and nesting of any depth must cost no stack. It accepts what
// encoding/json accepts (a fuzz test holds them equal).

var errSyntax = errors.New("not valid JSON")

func syntaxAt(b []byte, i int) error {
	if i >= len(b) {
		return fmt.Errorf("%w: it ends too early", errSyntax)
	}
	return fmt.Errorf("%w: unexpected %s at byte %d", errSyntax, quoteShort(string(b[i:i+1])), i)
}

// SkipSpace returns the first position at or after i that holds no white space.
func SkipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// NextValue checks the JSON value that starts at i and returns the position
// after it and how deep it nests (a scalar is 0, [] is 1).
func NextValue(b []byte, i int) (end, depth int, err error) {
	if i < len(b) && b[i] != '{' && b[i] != '[' {
		end, err = nextScalar(b, i)
		return end, 0, err
	}
	var room [64]byte
	stack := room[:0] // the open brackets
	for {
		i = SkipSpace(b, i)
		if i >= len(b) {
			return i, depth, syntaxAt(b, i)
		}
		opened := false
		switch c := b[i]; c {
		case '{', '[':
			stack = append(stack, c)
			depth = max(depth, len(stack))
			i, opened = SkipSpace(b, i+1), true
			if i < len(b) && b[i] == c+2 { // '}' is '{'+2, ']' is '['+2
				break
			}
			if c == '[' {
				continue
			}
			if i, err = nextKey(b, i); err != nil {
				return i, depth, err
			}
			continue
		default:
			if i, err = nextScalar(b, i); err != nil {
				return i, depth, err
			}
		}
		// After a value (or at the end of an empty bracket): close what closes.
		for {
			i = SkipSpace(b, i)
			if i >= len(b) {
				return i, depth, syntaxAt(b, i)
			}
			top := stack[len(stack)-1]
			if b[i] == top+2 {
				opened = false
				stack = stack[:len(stack)-1]
				i++
				if len(stack) == 0 {
					return i, depth, nil
				}
				continue
			}
			if b[i] != ',' || opened {
				return i, depth, syntaxAt(b, i)
			}
			i = SkipSpace(b, i+1)
			if top == '{' {
				if i, err = nextKey(b, i); err != nil {
					return i, depth, err
				}
			}
			break
		}
	}
}

// nextKey passes a member's name and its colon.
func nextKey(b []byte, i int) (int, error) {
	if i >= len(b) || b[i] != '"' {
		return i, syntaxAt(b, i)
	}
	i, err := nextString(b, i)
	if err != nil {
		return i, err
	}
	i = SkipSpace(b, i)
	if i >= len(b) || b[i] != ':' {
		return i, syntaxAt(b, i)
	}
	return i + 1, nil
}

func nextScalar(b []byte, i int) (int, error) {
	if i >= len(b) {
		return i, syntaxAt(b, i)
	}
	switch c := b[i]; {
	case c == '"':
		return nextString(b, i)
	case c == '-' || c >= '0' && c <= '9':
		return nextNumber(b, i)
	case c == 't':
		return nextLiteral(b, i, "true")
	case c == 'f':
		return nextLiteral(b, i, "false")
	case c == 'n':
		return nextLiteral(b, i, "null")
	}
	return i, syntaxAt(b, i)
}

func nextLiteral(b []byte, i int, want string) (int, error) {
	if len(b)-i >= len(want) && string(b[i:i+len(want)]) == want {
		return i + len(want), nil
	}
	for j := 0; j < len(want); j++ {
		if i+j >= len(b) || b[i+j] != want[j] {
			return i + j, syntaxAt(b, i+j)
		}
	}
	return i, syntaxAt(b, i)
}

func nextString(b []byte, i int) (int, error) {
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c < 0x20:
			return i, syntaxAt(b, i)
		case c == '\\':
			i++
			if i >= len(b) {
				return i, syntaxAt(b, i)
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for n := 0; n < 4; n++ {
					i++
					if i >= len(b) || !isHex(b[i]) {
						return i, syntaxAt(b, i)
					}
				}
			default:
				return i, syntaxAt(b, i)
			}
		}
	}
	return i, syntaxAt(b, i)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func nextNumber(b []byte, i int) (int, error) {
	if b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return i, syntaxAt(b, i)
	case b[i] == '0':
		i++
	case b[i] >= '1' && b[i] <= '9':
		i = skipDigits(b, i)
	default:
		return i, syntaxAt(b, i)
	}
	if i < len(b) && b[i] == '.' {
		j := skipDigits(b, i+1)
		if j == i+1 {
			return j, syntaxAt(b, j)
		}
		i = j
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		j := skipDigits(b, i)
		if j == i {
			return j, syntaxAt(b, j)
		}
		i = j
	}
	return i, nil
}

func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}

// unquote reads a JSON string that nextString accepted. Escaped surrogates
// without a partner become U+FFFD, as in encoding/json.
func unquote(raw []byte) string {
	in := raw[1 : len(raw)-1]
	plain := true
	for _, c := range in {
		if c == '\\' {
			plain = false
			break
		}
	}
	if plain {
		return string(in)
	}
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); i++ {
		c := in[i]
		if c != '\\' {
			out = append(out, c)
			continue
		}
		i++
		switch in[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, n := decodeEscape(in, i-1)
			out = utf8.AppendRune(out, r)
			i += n - 2
		default:
			out = append(out, in[i])
		}
	}
	return string(out)
}

// decodeEscape reads the \uXXXX at i, or the pair that starts there, and
// says how many bytes it took.
func decodeEscape(in []byte, i int) (rune, int) {
	r := hex4(in[i+2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if i+12 <= len(in) && in[i+6] == '\\' && in[i+7] == 'u' {
		if p := utf16.DecodeRune(r, hex4(in[i+8:])); p != utf8.RuneError {
			return p, 12
		}
	}
	return utf8.RuneError, 6
}

func hex4(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 32)
	return rune(n)
}

// storable returns raw JSON that Postgres can hold and read back: U+0000 and
// surrogates without a partner become U+FFFD, all else stays as sent.
func storable(raw []byte) []byte {
	var out []byte
	last := 0
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if raw[i+1] != 'u' {
			i++ // an escaped backslash must not be taken for the next escape
			continue
		}
		r, n := decodeEscape(raw, i)
		if r == 0 || r == utf8.RuneError && n == 6 {
			out = append(append(out, raw[last:i]...), `\ufffd`...)
			last = i + n
		}
		i += n - 1
	}
	if last == 0 {
		return append([]byte(nil), raw...)
	}
	return append(out, raw[last:]...)
}

// parseInteger reads a JSON number that is a whole number of 64 bits, however
// it is spelled: 5, 5.0, 50e-1. Digits are never rounded.
func parseInteger(b []byte) (int64, bool) {
	if n := len(b); n > 0 && n < 19 {
		if v, ok := plainInteger(b); ok {
			return v, true
		}
	}
	if len(b) == 0 || len(b) > 64 {
		return 0, false
	}
	if end, err := nextScalar(b, 0); err != nil || end != len(b) || !(b[0] == '-' || isDigit(b[0])) {
		return 0, false
	}
	digits := make([]byte, 0, len(b)+20)
	exp, i := 0, 0
	if b[0] == '-' {
		digits, i = append(digits, '-'), 1
	}
	for ; i < len(b) && isDigit(b[i]); i++ {
		digits = append(digits, b[i])
	}
	if i < len(b) && b[i] == '.' {
		for i++; i < len(b) && isDigit(b[i]); i++ {
			digits = append(digits, b[i])
			exp--
		}
	}
	if i < len(b) {
		e, err := strconv.Atoi(string(b[i+1:]))
		if err != nil || e > 400 || e < -400 {
			return 0, false
		}
		exp += e
	}
	for exp < 0 && len(digits) > 1 && digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
		exp++
	}
	if exp < 0 {
		n, err := strconv.ParseInt(string(digits), 10, 64)
		return 0, err == nil && n == 0
	}
	for ; exp > 0 && len(digits) < 64; exp-- {
		digits = append(digits, '0')
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	return n, err == nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func plainInteger(b []byte) (int64, bool) {
	neg := b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// quoteShort shows a value in a message without letting it fill the message.
func quoteShort(s string) string {
	if len(s) > 40 {
		s = cut(s, 40) + "…"
	}
	return strconv.Quote(s)
}

// cut shortens s to at most n bytes without breaking a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
