# Installs into a folder of its own, checks that everything is where it belongs, and has systemd read the units.
set(tree ${BUILD}/tests/install/tree)
file(REMOVE_RECURSE ${tree})
set(ENV{DESTDIR} ${tree})
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)

function(expect path)
  if(NOT EXISTS ${tree}${path})
    message(SEND_ERROR "not installed: ${path}")
  endif()
endfunction()
foreach(path
    ${BINDIR}/hamlet ${SBINDIR}/hamletd ${LIBEXECDIR}/hamlet/hamlet-eyes
    ${PREFIX}/lib/systemd/system/hamletd.service ${PREFIX}/lib/systemd/system/hamlet-eyes.service
    ${PREFIX}/lib/sysusers.d/hamlet.conf ${PREFIX}/lib/tmpfiles.d/hamlet.conf
    ${PREFIX}/share/hamlet/packs/flash-flood.toml ${DOCDIR}/LICENSE ${DOCDIR}/CONTRACT.md ${DOCDIR}/examples/hamlet.toml)
  expect(${path})
endforeach()
file(GLOB schemas ${tree}${DOCDIR}/schema/*.json)
if(NOT schemas)
  message(SEND_ERROR "no JSON Schema installed")
endif()

# Every program a unit starts is one that was installed.
file(GLOB units ${tree}${PREFIX}/lib/systemd/system/*.service)
foreach(unit ${units})
  file(STRINGS ${unit} starts REGEX "^ExecStart=")
  if(NOT starts MATCHES "^ExecStart=(/[^ ]+)")
    message(SEND_ERROR "${unit} starts nothing by its full path: ${starts}")
  else()
    expect(${CMAKE_MATCH_1})
  endif()
  file(READ ${unit} text)
  if(text MATCHES "@[A-Z_]+@")
    message(SEND_ERROR "${unit} was not configured: ${CMAKE_MATCH_0}")
  endif()
endforeach()

# systemd's own opinion, where it is at hand. It looks for programs and users on this machine, so those go out of its way;
# it says more on stderr than it fails for.
find_program(SYSTEMD_ANALYZE systemd-analyze)
if(NOT SYSTEMD_ANALYZE)
  message("systemd-analyze is not here: units not verified")
  return()
endif()
foreach(unit ${units})
  get_filename_component(name ${unit} NAME)
  file(READ ${unit} text)
  string(REGEX REPLACE "ExecStart=/[^ \n]+" "ExecStart=/bin/true" text "${text}")
  file(WRITE ${BUILD}/tests/install/units/${name} "${text}")
endforeach()
file(GLOB units ${BUILD}/tests/install/units/*.service)
execute_process(COMMAND ${SYSTEMD_ANALYZE} verify --man=no ${units}
  RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
if(NOT code EQUAL 0 OR said MATCHES "hamlet[a-z-]*[.]service:")
  message(SEND_ERROR "systemd-analyze verify: ${said}")
endif()
foreach(unit ${units})
  # 2.1 of 10: what is left open has its reason in the unit.
  execute_process(COMMAND ${SYSTEMD_ANALYZE} security --offline=true --threshold=21 --no-pager ${unit}
    RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(NOT code EQUAL 0)
    message(SEND_ERROR "more exposed than it has to be: ${unit}\n${said}")
  endif()
endforeach()
