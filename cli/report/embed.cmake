# Turns the parts of the report into one C source: cmake -DOUT=assets.c "-DPARTS=report.html;report.css;model.js;..." -P embed.cmake
# All scripts become one, in the order given. Each array ends with a NUL that its size does not count.
foreach(part ${PARTS})
  file(READ ${part} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  if(part MATCHES "[.]html$")
    string(APPEND page "${bytes}")
  elseif(part MATCHES "[.]css$")
    string(APPEND style "${bytes}")
  else()
    string(APPEND script "${bytes}")
  endif()
endforeach()
set(source "/* Made by embed.cmake. */\n#include \"report/assets.h\"\n")
foreach(name page style script)
  string(APPEND source "const unsigned char report_${name}[] = {${${name}}0};\n"
    "const size_t report_${name}_size = sizeof report_${name} - 1;\n")
endforeach()
file(WRITE ${OUT} "${source}")
