package wire

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// Error is what a request is refused with. A Status of 0 is 400, that of every error
// of the client: clients repeat a request at 500 and above.
type Error struct {
	Code    string // in the words of the API
	Message string
	Status  int // of HTTP
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// HTTPStatus is Status, or 400.
func (e *Error) HTTPStatus() int {
	if e.Status == 0 {
		return 400
	}
	return e.Status
}

// Errorf is an error of the client.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// EncodeError is an error as an API writes it. The root of EC2's is Response, and it
// has a RequestID (botocore, botocore/parsers.py, EC2QueryParser).
func EncodeError(s *Service, e *Error, requestID string) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	if s == nil || s.Protocol == EC2Query {
		b.WriteString("<Response><Errors><Error>")
		element(&b, "Code", e.Code)
		element(&b, "Message", e.Message)
		b.WriteString("</Error></Errors>")
		element(&b, "RequestID", requestID)
		b.WriteString("</Response>")
		return b.Bytes()
	}
	fmt.Fprintf(&b, `<ErrorResponse xmlns="%s"><Error>`, s.Namespace)
	fault := "Sender"
	if e.HTTPStatus() >= 500 {
		fault = "Receiver"
	}
	element(&b, "Type", fault)
	element(&b, "Code", e.Code)
	element(&b, "Message", e.Message)
	b.WriteString("</Error>")
	element(&b, "RequestId", requestID)
	b.WriteString("</ErrorResponse>")
	return b.Bytes()
}

func element(b *bytes.Buffer, name, text string) {
	b.WriteString("<" + name + ">")
	_ = xml.EscapeText(b, []byte(text)) // a Buffer takes everything
	b.WriteString("</" + name + ">")
}
