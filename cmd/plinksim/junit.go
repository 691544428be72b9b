package main

import (
	"encoding/xml"
	"fmt"
	"io"

	"github.com/plinksim/plinksim/pkg/status"
)

// What CI systems read of JUnit's reports: the schema of the Apache Ant task
// "junit", of which they agree on these elements.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr,omitempty"`
		Time     string      `xml:"time,attr"` // seconds
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure"`
		Skipped *junitSkipped `xml:"skipped"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes the results of a lab's checks.
func writeJUnit(w io.Writer, lab string, results []status.Check) error {
	suite := junitSuite{Name: lab, Tests: len(results)}
	total := 0.0
	for _, r := range results {
		total += r.Seconds
		c := junitCase{Name: r.Name, Class: "plinksim." + lab, Time: fmt.Sprintf("%.3f", r.Seconds)}
		switch {
		case r.Skipped:
			suite.Skipped++
			c.Skipped = &junitSkipped{r.Got}
		case !r.Passed:
			suite.Failures++
			c.Failure = &junitFailure{
				Message: fmt.Sprintf("expected %s, came %s", r.Expect, r.Got),
				Text:    fmt.Sprintf("%s\nexpected: %s\ncame: %s\n", r.Does, r.Expect, r.Got),
			}
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Time = fmt.Sprintf("%.3f", total)
	text, err := xml.MarshalIndent(struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []junitSuite
	}{Suites: []junitSuite{suite}}, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}
