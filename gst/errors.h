#pragma once
#include <gst/gst.h>

#include <exception>
#include <string>

namespace leat {

/// What kind of fault an element reports.
enum class Fault {
    property,  ///< a property has no value that can be used
    not_found, ///< a file that is not there
    open,      ///< a model or file that cannot be used
    write,     ///< a file that cannot be written
    frame,     ///< something failed while frames run
};

/// Posts an error message on the bus: the sentence for people.
void post_error(GstElement *, Fault, const std::string &sentence);
/// The sentence of an exception, whichever it is.
std::string sentence_of(const std::exception_ptr &);

} // namespace leat
