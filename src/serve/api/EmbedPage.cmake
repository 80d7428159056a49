# Writes `output`, a source that holds the files of the page in `folder` as bytes.
set(rows "")
set(arrays "")
foreach(row "index.html|/|text/html" "app.js|/app.js|text/javascript" "style.css|/style.css|text/css")
  string(REPLACE "|" ";" row "${row}")
  list(GET row 0 name)
  list(GET row 1 path)
  list(GET row 2 type)
  string(MAKE_C_IDENTIFIER "${name}" identifier)
  file(READ ${folder}/${name} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
  string(APPEND arrays "constexpr char ${identifier}[] = {${bytes}};\n")
  string(APPEND rows "    PageFile{\"${path}\", \"${type}; charset=utf-8\", \"${type}\", {${identifier}, sizeof(${identifier})}},\n")
endforeach()
file(WRITE ${output} "#include \"serve/api/page_files.h\"

namespace loraxs {
namespace {
${arrays}}  // namespace

const std::array<PageFile, kNumPageFiles> kPageFiles = {{
${rows}}};

}  // namespace loraxs
")
