package events

import "slices"

// CodeVerdict says how an error code fits its reason.
type CodeVerdict int8

const (
	CodeExpected   CodeVerdict = iota
	CodeUnexpected             // listed for the family, but not with this reason
	CodeUnknown                // in no list of the family
)

// expectedCodes is the table of contract 4.7 for the reasons that name their
// codes one by one; the others are rules in JudgeCode.
var expectedCodes = map[Family]map[Reason][]int64{
	Native: {
		Reconnecting:    {1002051},
		ReconnectFailed: {1002053},
		KickOut:         {1002050, 1002055, 1002056, 1002057},
		LogoutFailed:    {1002002, 1000001},
	},
	Web: {
		Reconnecting:    {1000017, 1002051, 0},
		ReconnectFailed: {1002053, 1002031},
		KickOut:         {1002050, 1002055, 1102018, 1002099},
	},
}

// JudgeCode says whether the code is known in its family and expected with
// its reason (contract 4.7). 0 is never unknown.
func JudgeCode(f Family, r Reason, code int64) CodeVerdict {
	if code != 0 {
		if _, ok := LookupCode(f, code); !ok {
			return CodeUnknown
		}
	}
	ok := false
	switch r {
	case Logining, Logined, Reconnected, Logout:
		ok = code == 0
	case LoginFailed:
		ok = code != 0
	case LogoutFailed:
		ok = f == Web || slices.Contains(expectedCodes[f][r], code)
	default:
		ok = slices.Contains(expectedCodes[f][r], code)
	}
	if !ok {
		return CodeUnexpected
	}
	return CodeExpected
}

// KickReason names the cause of a KickOut by its code (contract 5). The same
// number means different things in the two families.
func KickReason(f Family, code int64) string {
	switch {
	case code == 1002050:
		return "duplicate_login"
	case code == 1002055:
		return "backend"
	case f == Native && code == 1002056, f == Web && code == 1102018:
		return "token_expired"
	case f == Native && code == 1002057:
		return "session_exception"
	}
	return "unknown"
}
