package signalling

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Codes of the vendor's server API ("Return codes").
const (
	codeParameter     = 2
	codeTooLong       = 3
	codeNoRoom        = 104
	codeAppTooOften   = 206
	codeRoomTooOften  = 207
	codeTooManyUsers  = 50011
	codeTimestampForm = 100000003
	codeSignatureOld  = 100000004
	codeSignature     = 100000005
	codeActionEmpty   = 100000006
	codeActionUnknown = 100000007
	codeNonceEmpty    = 100000008
	codeNoSecret      = 100000010
	codeVersion       = 100000014
)

// refusal is a call that is not done.
type refusal struct {
	code int
	why  string
}

// maxCall is how large the body of a call may be.
const maxCall = 64 << 10

// codeFailed is the vendor's code for a call that was right and failed.
const codeFailed = 1

// answer is the vendor's: HTTP 200 in any case, and a code.
type answer struct {
	Code      int
	Message   string
	RequestID string `json:"RequestId"`
	Data      any    `json:",omitempty"`
}

// call takes one call of the server API. Parameters are in the query or in a
// form.
func (s *Server) call(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxCall)
	reply := answer{Message: "success", RequestID: rand.Text()}
	data, no := s.act(r)
	if no != nil {
		reply.Code, reply.Message = no.code, no.why
	} else {
		reply.Data = data
	}
	s.logger.Info("server API", "app", short(r.Form.Get("AppId")), "action", short(r.Form.Get("Action")), "code", reply.Code, "request_id", reply.RequestID)
	writeJSON(w, reply)
}

// short is as much of what anybody may send as a log should hold.
func short(s string) string { return s[:min(len(s), 64)] }

// act checks who calls and how often, then does what is asked.
func (s *Server) act(r *http.Request) (any, *refusal) {
	if err := r.ParseForm(); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, &refusal{codeTooLong, "the body has more than 64 KiB"}
		}
		return nil, &refusal{codeParameter, "the parameters cannot be read: " + err.Error()}
	}
	p := r.Form
	a := s.apps[p.Get("AppId")]
	if a == nil || a.secret == "" {
		return nil, &refusal{codeNoSecret, "AppId is not one that is served here"}
	}
	now := a.now()
	if no := checkSignature(now, a.secret, p); no != nil {
		return nil, no
	}
	action, ok := actions[p.Get("Action")]
	switch {
	case p.Get("Action") == "":
		return nil, &refusal{codeActionEmpty, "Action is empty; want KickoutUser, CloseRoom, DescribeUserList or DescribeUserNum"}
	case !ok:
		return nil, &refusal{codeActionUnknown, "Action is not known; want KickoutUser, CloseRoom, DescribeUserList or DescribeUserNum"}
	case !a.limits[p.Get("Action")].AllowN(now, 1):
		return nil, &refusal{codeAppTooOften, "called too often for one AppId; want at most " + strconv.Itoa(int(action.perSecond)) + " a second"}
	}
	return action.do(a, now, p)
}

// Signature signs a call of the server API: the lower-case hex MD5 of AppId,
// SignatureNonce, ServerSecret and Timestamp, joined ("Accessing server APIs").
// It does not cover what is asked for. The timestamp is in Unix seconds.
func Signature(app, nonce, secret string, timestamp int64) string {
	sum := md5.Sum([]byte(app + nonce + secret + strconv.FormatInt(timestamp, 10)))
	return hex.EncodeToString(sum[:])
}

// signatureLasts is how far Timestamp may be from our clock.
const signatureLasts = 10 * time.Minute

func checkSignature(now time.Time, secret string, p url.Values) *refusal {
	timestamp, err := strconv.ParseInt(p.Get("Timestamp"), 10, 64)
	switch {
	case p.Get("SignatureVersion") != "2.0":
		return &refusal{codeVersion, "SignatureVersion is not supported; want 2.0"}
	case p.Get("SignatureNonce") == "":
		return &refusal{codeNonceEmpty, "SignatureNonce is empty; want a text by chance, such as 16 hex digits"}
	case err != nil:
		return &refusal{codeTimestampForm, "Timestamp is no number; want Unix time in seconds"}
	}
	want := Signature(p.Get("AppId"), p.Get("SignatureNonce"), secret, timestamp)
	if subtle.ConstantTimeCompare([]byte(want), []byte(p.Get("Signature"))) != 1 {
		return &refusal{codeSignature, "Signature is wrong; want the lower-case hex MD5 of AppId + SignatureNonce + ServerSecret + Timestamp"}
	}
	if age := now.Unix() - timestamp; age > int64(signatureLasts.Seconds()) || -age > int64(signatureLasts.Seconds()) {
		return &refusal{codeSignatureOld, "Timestamp is more than 10 minutes off our clock; sign each call anew"}
	}
	return nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the caller may have gone
}
